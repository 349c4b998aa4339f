//! The symbols of the running kernel: the table that the host made of them, which is believed where /proc/kallsyms says
//! the same.

use protocol::kallsyms::{Comparison, Kallsyms};

use crate::files;

const OF_KERNEL: &str = "/proc/kallsyms";

/// The host's table.
pub fn load() -> Result<Kallsyms, String> {
    Kallsyms::of(files::map(protocol::KALLSYMS_PATH)?)
}

/// The kernel lies where the table says, and does not hide it: as much of it as one read gives, which takes no time.
pub fn check_beginning(kallsyms: &Kallsyms) -> Result<(), String> {
    let mut comparison = Comparison::new(kallsyms)?;
    files::read_lines(OF_KERNEL, |lines| {
        comparison.take(lines)?;
        Ok(!comparison.has_begun())
    })?;
    if comparison.has_begun() { Ok(()) } else { comparison.finish() }
}

/// All of the table.
pub fn check(kallsyms: &Kallsyms) -> Result<(), String> {
    let mut comparison = Comparison::new(kallsyms)?;
    files::read_lines(OF_KERNEL, |lines| comparison.take(lines))?;
    comparison.finish()
}
