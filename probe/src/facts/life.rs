//! Bare node or live node: whether Kubernetes is here, so that nothing of its ports may be touched.
//!
//! Live, if any of these holds:
//!
//! 1. a kubelet's configuration is on disk (`/var/lib/kubelet/config.yaml`, `/etc/kubernetes/kubelet.conf`), even if the
//!    kubelet is stopped: it will be back, and want its ports;
//! 2. a process of Kubernetes runs in this network namespace (kubelet, the control plane, k3s and its like);
//! 3. containerd keeps a pod here: one of its shims serves the namespace `k8s.io`.
//!
//! containerd alone is no sign: Docker and CI machines run it without any Kubernetes, and treating them as live would leave
//! a bare node untested. Processes count only in the own network namespace, since only those can hold the own ports; where
//! another user's namespace cannot be read, the process counts.

use std::{
    fs,
    path::{Path, PathBuf},
};

use plumbline_model::observation::Life;

/// Whether this host is bare or live.
pub fn life() -> Life {
    life_at(Path::new("/"))
}

/// Whether a process of this name runs in this network namespace.
pub(super) fn runs_here(name: &str) -> bool {
    processes_here(Path::new("/proc")).any(|process| comm(&process) == name)
}

fn life_at(root: &Path) -> Life {
    let configured = KUBELET_FILES.iter().any(|file| root.join(file).exists());
    let running = || {
        processes_here(&root.join("proc")).any(|process| {
            let comm = comm(&process);
            KUBERNETES.contains(&comm.as_str())
                || (comm.starts_with("containerd-shim") && serves_a_pod(&process))
        })
    };
    if configured || running() {
        Life::Live
    } else {
        Life::Bare
    }
}

/// Directories of the processes in the own network namespace.
fn processes_here(proc: &Path) -> impl Iterator<Item = PathBuf> {
    let own = fs::read_link(proc.join("self/ns/net")).ok();
    let entries = fs::read_dir(proc).into_iter().flatten().flatten();
    entries
        .filter(|entry| {
            entry
                .file_name()
                .as_encoded_bytes()
                .iter()
                .all(u8::is_ascii_digit)
        })
        .map(|entry| entry.path())
        .filter(
            move |process| match (&own, fs::read_link(process.join("ns/net"))) {
                (Some(own), Ok(its)) => *own == its,
                // Not ours to read: better a node too many left alone than a live one disturbed.
                _ => true,
            },
        )
}

fn comm(process: &Path) -> String {
    fs::read_to_string(process.join("comm"))
        .unwrap_or_default()
        .trim_end()
        .to_owned()
}

fn serves_a_pod(process: &Path) -> bool {
    let cmdline = fs::read(process.join("cmdline")).unwrap_or_default();
    let arguments: Vec<&[u8]> = cmdline.split(|byte| *byte == 0).collect();
    arguments
        .windows(2)
        .any(|pair| pair == [b"-namespace".as_slice(), b"k8s.io".as_slice()])
}

/// What the kubelet needs to start.
const KUBELET_FILES: [&str; 2] = ["var/lib/kubelet/config.yaml", "etc/kubernetes/kubelet.conf"];

/// Process names, as the kernel cuts them at 15 characters.
const KUBERNETES: [&str; 8] = [
    "kubelet",
    "kube-apiserver",
    "kube-controller",
    "kube-scheduler",
    "kube-proxy",
    "k3s-server",
    "k3s-agent",
    "kubelite",
];

#[cfg(test)]
mod tests {
    use super::*;

    struct Host(tempfile::TempDir);

    impl Host {
        fn new() -> Self {
            let host = Self(tempfile::tempdir().unwrap());
            host.process("self", "net:[1]", "probe", "");
            host
        }

        fn file(&self, path: &str, content: &str) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }

        fn process(&self, pid: &str, namespace: &str, comm: &str, cmdline: &str) {
            self.file(&format!("proc/{pid}/comm"), &format!("{comm}\n"));
            self.file(&format!("proc/{pid}/cmdline"), &cmdline.replace(' ', "\0"));
            let ns = self.0.path().join(format!("proc/{pid}/ns"));
            fs::create_dir_all(&ns).unwrap();
            std::os::unix::fs::symlink(namespace, ns.join("net")).unwrap();
        }

        fn life(&self) -> Life {
            life_at(self.0.path())
        }
    }

    #[test]
    fn a_host_without_any_sign_is_bare() {
        let host = Host::new();
        host.process("7", "net:[1]", "sshd", "sshd: admin");
        assert_eq!(host.life(), Life::Bare);
    }

    #[test]
    fn a_kubelets_configuration_makes_a_host_live_even_while_it_is_stopped() {
        for file in ["var/lib/kubelet/config.yaml", "etc/kubernetes/kubelet.conf"] {
            let host = Host::new();
            host.file(file, "");
            assert_eq!(host.life(), Life::Live, "{file}");
        }
    }

    #[test]
    fn containerd_is_a_sign_only_while_it_keeps_a_pod() {
        let host = Host::new();
        host.process("7", "net:[1]", "containerd", "/usr/bin/containerd");
        host.process(
            "8",
            "net:[1]",
            "containerd-shim",
            "/usr/bin/containerd-shim-runc-v2 -namespace moby -id x",
        );
        assert_eq!(host.life(), Life::Bare);
        host.process(
            "9",
            "net:[1]",
            "containerd-shim",
            "/usr/bin/containerd-shim-runc-v2 -namespace k8s.io -id x",
        );
        assert_eq!(host.life(), Life::Live);
    }

    #[test]
    fn a_kubelet_in_another_network_namespace_holds_none_of_our_ports() {
        let host = Host::new();
        host.process("7", "net:[2]", "kubelet", "kubelet");
        assert_eq!(host.life(), Life::Bare);
        host.process("8", "net:[1]", "kubelet", "kubelet");
        assert_eq!(host.life(), Life::Live);
    }
}
