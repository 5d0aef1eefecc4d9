//! Name, kernel, system and privileges of the host.

use std::fs;

/// The kernel's node name, of this process's UTS namespace.
pub(super) fn hostname() -> String {
    first_line("/proc/sys/kernel/hostname")
}

/// The kernel's release.
pub(super) fn kernel() -> String {
    first_line("/proc/sys/kernel/osrelease")
}

/// `PRETTY_NAME` of os-release(5).
pub(super) fn os() -> String {
    ["/etc/os-release", "/usr/lib/os-release"]
        .into_iter()
        .find_map(|path| fs::read_to_string(path).ok())
        .and_then(|text| pretty_name(&text))
        .unwrap_or_default()
}

/// Whether ports below 1024 may be bound: by CAP_NET_BIND_SERVICE, or because the system reserves none of the tables'.
pub(super) fn may_bind_low_ports() -> bool {
    let unprivileged_from: Option<u32> = first_line("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        .parse()
        .ok();
    // Port 22 is the lowest that any table asks for.
    unprivileged_from.is_some_and(|first| first <= 22) || has_capability(CAP_NET_BIND_SERVICE)
}

/// Whether packet sockets may be opened.
pub(super) fn may_capture() -> bool {
    has_capability(CAP_NET_RAW)
}

/// The soft limit on open files; `u32::MAX` where there is none, 0 if it cannot be read.
pub(super) fn open_files() -> u32 {
    fs::read_to_string("/proc/self/limits")
        .ok()
        .and_then(|limits| soft_open_files(&limits))
        .unwrap_or(0)
}

fn soft_open_files(limits: &str) -> Option<u32> {
    let soft = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?
        .split_whitespace()
        .next()?;
    match soft {
        "unlimited" => Some(u32::MAX),
        number => Some(u32::try_from(number.parse::<u64>().ok()?).unwrap_or(u32::MAX)),
    }
}

fn has_capability(bit: u32) -> bool {
    fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| effective_capabilities(&status))
        .is_some_and(|set| set >> bit & 1 == 1)
}

fn effective_capabilities(status: &str) -> Option<u64> {
    let text = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(text.trim(), 16).ok()
}

fn pretty_name(os_release: &str) -> Option<String> {
    let value = os_release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))?
        .trim();
    let unquoted = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .or_else(|| value.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')))
        .unwrap_or(value);
    Some(plumbline_proto::convert::sanitised(unquoted))
}

fn first_line(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    plumbline_proto::convert::sanitised(text.lines().next().unwrap_or_default())
}

/// capability.h: bind ports below `ip_unprivileged_port_start`.
const CAP_NET_BIND_SERVICE: u32 = 10;

/// capability.h: raw and packet sockets.
const CAP_NET_RAW: u32 = 13;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_name_is_read_with_and_without_quotes() {
        let name = |text| pretty_name(text).unwrap();
        assert_eq!(
            name("NAME=x\nPRETTY_NAME=\"Ubuntu 22.04.4 LTS\"\n"),
            "Ubuntu 22.04.4 LTS"
        );
        assert_eq!(name("PRETTY_NAME='Rocky'"), "Rocky");
        assert_eq!(name("PRETTY_NAME=Alpine"), "Alpine");
        assert_eq!(pretty_name("NAME=x"), None);
    }

    #[test]
    fn limits_and_capabilities_are_read_from_the_kernels_own_words() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max open files            1024                 524288               files\n";
        assert_eq!(soft_open_files(limits), Some(1024));
        assert_eq!(
            soft_open_files("Max open files   unlimited unlimited files"),
            Some(u32::MAX)
        );
        assert_eq!(soft_open_files("Max open"), None);
        assert_eq!(
            effective_capabilities("CapPrm:\t0\nCapEff:\t0000000000003400\n"),
            Some(0x3400)
        );
        assert_eq!(effective_capabilities("CapEff:\tx"), None);
    }
}
