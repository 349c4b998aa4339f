//! What the guest runs on, said before anything is measured.

use std::path::Path;

use kit::{cpu, files, kallsyms};
use protocol::kallsyms::Kallsyms;
use protocol::{Hello, Watch};

pub fn hello(kallsyms: &Kallsyms, watch: &Watch) -> Result<Hello, String> {
    kallsyms::check_beginning(kallsyms)?;
    let symbols = watch.symbols.iter().filter(|name| kallsyms.has(name)).cloned();
    let readings = watch.readings.iter().filter(|file| Path::new(file).exists());
    let readings = readings.map(|file| Ok((file.clone(), files::read_number(file)?)));
    Ok(Hello {
        kernel_release: files::read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        cpus_online: cpu::online()?,
        readings: readings.collect::<Result<_, String>>()?,
        symbols: symbols.collect(),
    })
}
