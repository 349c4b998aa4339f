//! How much of this host's processor time one child took, and how much everybody else did. Reads /proc; decides nothing.

/// Ticks of processor time (proc_stat(5), proc_pid_stat(5)) until one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuUsage {
    /// Of all processors, whatever they did.
    all: u64,
    /// Those in which they did something, or another machine had them.
    busy: u64,
    /// Those that the child had.
    own: u64,
}

impl CpuUsage {
    /// Until now, with `child`, or the program that it confines; None if it is gone.
    pub fn now(child: u32) -> Option<CpuUsage> {
        let child = super::confined(child);
        let read = |path: &str| std::fs::read_to_string(path).ok();
        CpuUsage::of(&read("/proc/stat")?, &read(&format!("/proc/{child}/stat"))?)
    }

    #[cfg(test)]
    pub fn with(all: u64, busy: u64, own: u64) -> CpuUsage {
        CpuUsage { all, busy, own }
    }

    /// From the two files.
    fn of(host: &str, child: &str) -> Option<CpuUsage> {
        let number = |word: &str| word.parse::<u64>().ok();
        let host = host.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
        let host = host.map(number).collect::<Option<Vec<u64>>>()?;
        // User, nice, system, idle, iowait, irq, softirq, steal; what follows is in user and nice already.
        let host = host.get(..8)?;
        let (all, idle) = (host.iter().sum::<u64>(), host[3] + host[4]);
        // utime and stime, the 14th and the 15th.
        let own = fields(child)?.get(11..13)?.iter().copied().map(number).sum::<Option<u64>>()?;
        Some(CpuUsage { all, busy: all - idle, own })
    }

    /// What others than the child have had since `before`, as a part of all that there was; 0 if that was nothing.
    pub fn others_since(self, before: CpuUsage) -> f64 {
        let since = |of: fn(CpuUsage) -> u64| of(self).saturating_sub(of(before));
        let others = since(|busy| busy.busy).saturating_sub(since(|busy| busy.own));
        #[expect(clippy::cast_precision_loss, reason = "a part, of some thousand ticks")]
        let part = others as f64 / since(|busy| busy.all).max(1) as f64;
        part
    }
}

/// Those of proc_pid_stat(5) from the 3rd on: the one before is the name, which may hold anything.
pub fn fields(stat: &str) -> Option<Vec<&str>> {
    Some(stat.rsplit_once(')')?.1.split_whitespace().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_took_is_what_was_busy_but_for_the_childs_own() {
        let child = |utime: u32, stime: u32| {
            format!("7 (a b) c) S 1 7 7 0 -1 4194560 100 0 0 0 {utime} {stime} 0 0 20 0 5 0")
        };
        let host = |user: u32, idle: u32, steal: u32| {
            format!("cpu  {user} 0 0 {idle} 0 0 0 {steal} 9 9\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
        };
        let before = CpuUsage::of(&host(1000, 5000, 0), &child(100, 10)).unwrap();
        let after = CpuUsage::of(&host(1060, 5120, 20), &child(130, 20)).unwrap();
        // 200 ticks: 40 the child's, 40 of others, of which 20 on another machine, 120 idle.
        assert!((after.others_since(before) - 0.2).abs() < 1e-9, "{after:?}");
        assert_eq!(CpuUsage::of("cpu  1 2", &child(1, 1)), None);
        assert_eq!(CpuUsage::of(&host(1, 1, 1), "7 (gone"), None);
    }

    #[test]
    fn this_process_is_there_and_another_is_not() {
        assert!(CpuUsage::now(std::process::id()).is_some());
        assert_eq!(CpuUsage::now(u32::MAX), None);
    }
}
