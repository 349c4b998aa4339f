//! What the guest runs on, said before anything is measured.

use kit::kallsyms::{Kallsyms, OF_INTEREST};
use kit::{cpu, files};
use protocol::Hello;

pub fn hello() -> Result<Hello, String> {
    let kallsyms = Kallsyms::keep_index()?;
    let symbols = OF_INTEREST.iter().filter(|name| kallsyms.has(name)).map(|name| name.to_string());
    Ok(Hello {
        kernel_release: files::read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        cpus_online: cpu::online()?,
        rcu_expedited: files::read_number("/sys/kernel/rcu_expedited")?,
        symbols: symbols.collect(),
    })
}
