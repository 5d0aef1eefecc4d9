//! BGP speakers on the lab's router: bird, which ends with its handle.

use std::{
    fs::{self, File},
    io::Read as _,
    net::IpAddr,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use plumbline_lab::Lab;

use crate::scenario::BgpSpeaker;

/// A bird that runs.
#[derive(Debug)]
pub struct Router(Child);

impl Router {
    /// Starts a speaker and waits until it listens. An address that the router does not have is given to its loopback device.
    ///
    /// # Errors
    /// A sentence.
    pub fn start(lab: &Lab, speaker: &BgpSpeaker, work: &Path) -> Result<Self, String> {
        let address = speaker.address;
        let failed = |what: &str, error: &dyn std::fmt::Display| format!("{what} BGP at {address}: {error}");
        let dir = work.join(format!("bgp-{address}"));
        fs::create_dir_all(&dir).map_err(|error| failed("set up", &error))?;
        let (config, complaints) = (dir.join("bird.conf"), dir.join("stderr"));
        fs::write(&config, configuration(speaker)).map_err(|error| failed("set up", &error))?;
        let stderr = File::create(&complaints).map_err(|error| failed("set up", &error))?;
        let bird = lab.in_router(|| {
            // Of no consequence where the router has it already, as its leg of a subnet.
            let has_it = Command::new("ip")
                .args(["-o", "addr", "show", "to", &address.to_string()])
                .output()?;
            if has_it.stdout.is_empty() {
                let to = format!("{address}/32");
                Command::new("ip")
                    .args(["addr", "add", &to, "dev", "lo"])
                    .status()?;
                Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
            }
            Command::new("bird")
                .arg("-f")
                .arg("-c")
                .arg(&config)
                .arg("-s")
                .arg(dir.join("control"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(stderr)
                .spawn()
        });
        let bird = bird.map_err(|error| failed("start", &error))?;
        let mut router = Self(bird.map_err(|error| failed("start bird as", &error))?);
        let deadline = Instant::now() + PATIENCE;
        while !lab
            .in_router(|| listens(address))
            .map_err(|error| failed("start", &error))?
        {
            if Instant::now() > deadline || router.0.try_wait().is_ok_and(|ended| ended.is_some()) {
                let mut said = String::new();
                let _ = File::open(&complaints).and_then(|mut file| file.read_to_string(&mut said));
                return Err(failed("hear", &said));
            }
            thread::sleep(POLL);
        }
        Ok(router)
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether somebody listens there, as the kernel's own table says: a connection would be a visit.
fn listens(address: IpAddr) -> bool {
    let IpAddr::V4(address) = address else {
        return false;
    };
    // proc_net_tcp(5): the octets of an address as the host orders them.
    let row = format!(
        "{:08X}:00B3 00000000:0000 0A",
        u32::from_ne_bytes(address.octets())
    );
    fs::read_to_string("/proc/thread-self/net/tcp").is_ok_and(|table| table.contains(&row))
}

fn configuration(speaker: &BgpSpeaker) -> String {
    let BgpSpeaker {
        address,
        asn,
        neighbors,
    } = speaker;
    let mut text = format!("router id {address};\nprotocol device {{}}\n");
    for (index, (neighbor, of)) in neighbors.iter().enumerate() {
        let session = format!(
            "protocol bgp n{index} {{\n  local {address} as {asn};\n  neighbor {neighbor} as {of};\n  multihop;\n  strict bind;\n  \
             ipv4 {{ import none; export none; }};\n}}\n"
        );
        text.push_str(&session);
    }
    text
}

/// bird takes some milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);
