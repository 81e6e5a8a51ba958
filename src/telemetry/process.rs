//! What the process takes of the machine, as the system tells: memory, processor time, file descriptors.

use std::time::Duration;

use rustix::process::{Resource, getrlimit};

/// What the process takes. Each is none where the system does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Process {
    /// Resident memory, in bytes.
    pub memory: Option<u64>,
    /// Processor time in user mode and in the kernel.
    pub cpu: Option<[Duration; 2]>,
    /// Open file descriptors.
    pub descriptors: Option<u64>,
    /// Most file descriptors that it may have.
    pub most_descriptors: Option<u64>,
}

impl Process {
    /// Asks the system.
    pub fn read() -> Self {
        Self {
            memory: memory(),
            cpu: cpu(),
            descriptors: descriptors(),
            most_descriptors: getrlimit(Resource::Nofile).current,
        }
    }
}

fn memory() -> Option<u64> {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    Some(pages * u64::try_from(rustix::param::page_size()).ok()?)
}

fn cpu() -> Option<[Duration; 2]> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in brackets, may hold spaces.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let tick = Duration::from_secs(1).checked_div(u32::try_from(rustix::param::clock_ticks_per_second()).ok()?)?;
    let mut next = || Some(tick * fields.next()?.parse::<u32>().ok()?);
    Some([next()?, next()?])
}

fn descriptors() -> Option<u64> {
    let listed = std::fs::read_dir("/proc/self/fd").ok()?.count();
    // Listing them opens one.
    u64::try_from(listed).ok().map(|count| count.saturating_sub(1))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_what_this_process_takes() {
        let before = Process::read();
        assert!(before.memory > Some(1 << 20) && before.most_descriptors >= before.descriptors, "{before:?}");
        let held: Vec<_> = (0..50).map(|_| std::fs::File::open("/dev/null").expect("it opens")).collect();
        assert!(Process::read().descriptors >= Some(50), "{before:?}");
        drop(held);
        while Process::read().cpu == before.cpu {
            std::hint::black_box((0..100_000_u64).sum::<u64>());
        }
    }
}
