//! Random nonces.

use std::io;

use plumbline_measure::hello::NONCE_LEN;

/// Nonces drawn many at a time: a system call for each connection would be a sixth of all that it needs.
pub(super) struct Nonces {
    pool: [u8; POOL_LEN],
    used: usize,
}

impl Nonces {
    pub(super) fn new() -> io::Result<Self> {
        let mut nonces = Self {
            pool: [0; POOL_LEN],
            used: 0,
        };
        getrandom::fill(&mut nonces.pool)?;
        Ok(nonces)
    }

    pub(super) fn next(&mut self) -> [u8; NONCE_LEN] {
        if self.used == POOL_LEN {
            // getrandom(2) fails only on kernels without it, and there the first draw failed already.
            getrandom::fill(&mut self.pool).expect("the random source worked before");
            self.used = 0;
        }
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&self.pool[self.used..self.used + NONCE_LEN]);
        self.used += NONCE_LEN;
        nonce
    }
}

const POOL_LEN: usize = NONCE_LEN * 256;
