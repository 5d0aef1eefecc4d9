//! Bare node or live node: whether Kubernetes is here, so that nothing of its ports may be touched.
//!
//! Live, if any of these holds; a sign too many leaves a bare node untested, one too few disturbs a cluster:
//!
//! 1. a kubelet's configuration is on disk ([`KUBELET_FILES`], those of k3s, RKE2, k0s and MicroK8s among them), even if the
//!    kubelet is stopped: it will be back, and want its ports;
//! 2. a process of Kubernetes runs in this network namespace (kubelet, the control plane, k3s and its like, CRI-O);
//! 3. containerd runs in this network namespace and offers itself to a kubelet: its CRI plugin is not switched off, as Docker's
//!    packages switch it off;
//! 4. containerd keeps a pod here: one of its shims serves the namespace `k8s.io`.
//!
//! Docker's containerd is no sign: build machines run it without any Kubernetes. Processes count only in the own network
//! namespace, since only those can hold the own ports; where another user's namespace cannot be read, the process counts. One
//! that has ended and was not yet waited for is in no namespace any more, and does not count.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use plumbline_model::observation::Life;
use plumbline_sys::{Errno, foreign_file};

/// Whether this host is bare or live.
pub fn life() -> Life {
    life_at(Path::new("/"))
}

/// Whether a process of this name runs in this network namespace.
pub(super) fn runs_here(name: &str) -> bool {
    process_here(name).is_some()
}

/// The directory of a process of this name that runs in this network namespace.
pub(super) fn process_here(name: &str) -> Option<PathBuf> {
    processes_here(Path::new("/proc")).find(|process| comm(process) == name)
}

fn life_at(root: &Path) -> Life {
    let configured = KUBELET_FILES.iter().any(|file| root.join(file).exists());
    let running = || {
        processes_here(&root.join("proc")).any(|process| {
            let comm = comm(&process);
            KUBERNETES.contains(&comm.as_str())
                || (comm == "containerd" && offers_cri(root, &process))
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
                // It has ended, and holds no port.
                (_, Err(error)) if is_gone(&error) => false,
                // Not ours to read: better a node too many left alone than a live one disturbed.
                _ => true,
            },
        )
}

/// How the kernel says that a process is not there any more, or has given up its namespaces (a zombie).
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

fn comm(process: &Path) -> String {
    fs::read_to_string(process.join("comm"))
        .unwrap_or_default()
        .trim_end()
        .to_owned()
}

fn serves_a_pod(process: &Path) -> bool {
    arguments(process)
        .windows(2)
        .any(|pair| pair[0] == "-namespace" && pair[1] == "k8s.io")
}

/// Whether a containerd's CRI plugin is on, as it is unless its configuration switches it off (`disabled_plugins`). One whose
/// configuration cannot be read has it on.
fn offers_cri(root: &Path, containerd: &Path) -> bool {
    let arguments = arguments(containerd);
    let named = arguments.iter().enumerate().find_map(|(index, argument)| {
        let value = argument
            .strip_prefix("--config=")
            .or_else(|| argument.strip_prefix("-c="));
        let next = || arguments.get(index + 1).map(String::as_str);
        value.or_else(|| (argument == "--config" || argument == "-c").then(next).flatten())
    });
    let path = named.unwrap_or("/etc/containerd/config.toml");
    // Anybody may call his program containerd, and give it any path.
    let path = root.join(path.trim_start_matches('/'));
    let configuration = foreign_file::read_text(&path, MAX_CONFIGURATION_BYTES).unwrap_or_default();
    !disables_cri(&configuration)
}

/// `disabled_plugins = ["cri"]`, or by the plugin's full name: `io.containerd.grpc.v1.cri`, `io.containerd.cri.v1.runtime`.
fn disables_cri(configuration: &str) -> bool {
    let uncommented: String = configuration
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .collect();
    let Some((_, list)) = uncommented.split_once("disabled_plugins") else {
        return false;
    };
    let list = list.split(']').next().unwrap_or_default();
    let mut names = list.split(['"', '\'']).skip(1).step_by(2);
    names.any(|name| name.split('.').any(|part| part == "cri"))
}

fn arguments(process: &Path) -> Vec<String> {
    let cmdline = fs::read(process.join("cmdline")).unwrap_or_default();
    cmdline
        .split(|byte| *byte == 0)
        .map(|argument| String::from_utf8_lossy(argument).into_owned())
        .collect()
}

/// What a kubelet needs to start, by kubeadm and Kubespray, and by distributions that carry one inside.
const KUBELET_FILES: [&str; 10] = [
    "var/lib/kubelet/config.yaml",
    "etc/kubernetes/kubelet.conf",
    "etc/kubernetes/bootstrap-kubelet.conf",
    "etc/kubernetes/kubelet-config.yaml",
    "etc/kubernetes/kubelet.env",
    "var/lib/kubelet/kubeconfig",
    "var/lib/rancher/k3s/agent/kubelet.kubeconfig",
    "var/lib/rancher/rke2/agent/kubelet.kubeconfig",
    "var/lib/k0s/kubelet.conf",
    "var/snap/microk8s/current/credentials/kubelet.config",
];

/// A containerd's configuration has a few thousand octets.
const MAX_CONFIGURATION_BYTES: u64 = 1 << 20;

/// Process names, as the kernel cuts them at 15 characters.
const KUBERNETES: [&str; 13] = [
    "kubelet",
    "kube-apiserver",
    "kube-controller",
    "kube-scheduler",
    "kube-proxy",
    "k3s",
    "k3s-server",
    "k3s-agent",
    "rke2",
    "k0s",
    "kubelite",
    "crio",
    "cri-dockerd",
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
        for file in KUBELET_FILES {
            let host = Host::new();
            host.file(file, "");
            assert_eq!(host.life(), Life::Live, "{file}");
        }
    }

    #[test]
    fn a_process_of_kubernetes_makes_a_host_live_whatever_it_is_called() {
        for name in KUBERNETES {
            assert!(name.len() <= 15, "{name} is longer than the kernel tells");
            let host = Host::new();
            host.process("7", "net:[1]", name, name);
            assert_eq!(host.life(), Life::Live, "{name}");
        }
    }

    #[test]
    fn containerd_is_a_sign_unless_it_does_not_offer_itself_to_a_kubelet() {
        let host = Host::new();
        host.process("7", "net:[1]", "containerd", "/usr/bin/containerd");
        assert_eq!(host.life(), Life::Live, "by default it does");
        for (configuration, life) in [
            ("version = 2\n", Life::Live),
            ("disabled_plugins = []\n", Life::Live),
            ("#disabled_plugins = [\"cri\"]\n", Life::Live),
            ("disabled_plugins = [\"restart\"]\nroot = \"cri\"\n", Life::Live),
            ("disabled_plugins = [\"cri\"]\n", Life::Bare),
            (
                "disabled_plugins = [\n  'io.containerd.grpc.v1.cri', # no pods\n]\n",
                Life::Bare,
            ),
        ] {
            host.file("etc/containerd/config.toml", configuration);
            assert_eq!(host.life(), life, "{configuration}");
        }
    }

    #[test]
    fn a_configuration_without_an_end_is_one_that_cannot_be_read() {
        let host = Host::new();
        host.process("7", "net:[1]", "containerd", "containerd --config /etc/endless");
        host.file("etc/other", "");
        std::os::unix::fs::symlink("/dev/zero", host.0.path().join("etc/endless")).unwrap();
        assert_eq!(host.life(), Life::Live);
    }

    #[test]
    fn docker_s_own_containerd_is_no_sign() {
        let host = Host::new();
        let named = "containerd --config /var/run/docker/containerd/containerd.toml";
        host.process("7", "net:[1]", "containerd", named);
        assert_eq!(host.life(), Life::Live, "its configuration is not readable");
        host.file(
            "var/run/docker/containerd/containerd.toml",
            "disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n",
        );
        assert_eq!(host.life(), Life::Bare);
    }

    #[test]
    fn a_shim_that_keeps_a_pod_is_a_sign() {
        let host = Host::new();
        let shim = |of: &str| format!("/usr/bin/containerd-shim-runc-v2 -namespace {of} -id x");
        host.process("8", "net:[1]", "containerd-shim", &shim("moby"));
        assert_eq!(host.life(), Life::Bare);
        host.process("9", "net:[1]", "containerd-shim", &shim("k8s.io"));
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

    #[test]
    fn a_kubelet_that_has_ended_holds_no_port_and_one_that_cannot_be_looked_at_may() {
        let host = Host::new();
        // A zombie's directory has no link to a namespace.
        host.file("proc/7/comm", "kubelet\n");
        assert_eq!(host.life(), Life::Bare);
        // What is no link cannot be read as one.
        host.file("proc/7/ns/net", "");
        assert_eq!(host.life(), Life::Live);
    }
}
