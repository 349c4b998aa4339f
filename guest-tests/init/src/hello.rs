//! What the guest runs on, said before anything is measured.

use kit::kallsyms::{self, OF_INTEREST};
use kit::{cpu, files};
use protocol::Hello;
use protocol::kallsyms::Kallsyms;

pub fn hello(kallsyms: &Kallsyms) -> Result<Hello, String> {
    kallsyms::check_beginning(kallsyms)?;
    let symbols = OF_INTEREST.iter().filter(|name| kallsyms.has(name)).map(|name| name.to_string());
    Ok(Hello {
        kernel_release: files::read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        cpus_online: cpu::online()?,
        rcu_expedited: files::read_number("/sys/kernel/rcu_expedited")?,
        symbols: symbols.collect(),
    })
}
