//! Random bytes of the operating system.

/// The operating system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("draw random bytes from the operating system")]
pub struct NoRandomness(#[source] getrandom::Error);

/// `N` random bytes.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(NoRandomness)?;
    Ok(bytes)
}
