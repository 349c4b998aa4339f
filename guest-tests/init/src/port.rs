//! The result port: the virtio-serial port by which, and only by which, results leave the guest.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use kit::files;
use protocol::{Encoder, Message, Nonce, PORT_NAME};

const PORTS: &str = "/sys/class/virtio-ports";

/// The port's name arrives from QEMU some time after its device.
const APPEARS_WITHIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub struct Port {
    device: File,
    encoder: Encoder,
}

impl Port {
    /// Waits for the port to appear and opens it.
    pub fn open(nonce: Nonce) -> Result<Self, String> {
        let path = wait_for_device()?;
        let context = |error| format!("could not open {}: {error}", path.display());
        let device = OpenOptions::new().write(true).open(&path).map_err(context)?;
        Ok(Port { device, encoder: Encoder::new(nonce) })
    }

    /// Returns when the host has taken the line: a blocking port's `write` waits for that.
    pub fn send(&mut self, message: &Message) -> Result<(), String> {
        let line = self.encoder.encode(message);
        self.device.write_all(line.as_bytes()).map_err(|error| format!("could not send {message:?}: {error}"))
    }
}

fn wait_for_device() -> Result<PathBuf, String> {
    let began = Instant::now();
    while began.elapsed() < APPEARS_WITHIN {
        if let Some(path) = find_device(Path::new(PORTS)) {
            return Ok(path);
        }
        thread::sleep(LOOK_AGAIN);
    }
    Err(format!("no virtio-serial port named {PORT_NAME} appeared within {} s", APPEARS_WITHIN.as_secs()))
}

/// The device node of the port with our name, once both are there.
fn find_device(ports: &Path) -> Option<PathBuf> {
    let port = fs::read_dir(ports)
        .ok()?
        .flatten()
        .find(|port| files::read(port.path().join("name")).is_ok_and(|name| name.trim() == PORT_NAME))?;
    let device = Path::new("/dev").join(port.file_name());
    device.exists().then_some(device)
}
