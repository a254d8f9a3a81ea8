//! CPU time and memory of a process and its descendants, from /proc.

use hookgate_load::epoll::ticks_a_second;
use std::fs;

#[derive(Default)]
pub struct Usage {
    /// User and system time, including that of terminated children. In steps of a tick, mostly 10 ms.
    pub seconds: f64,
    pub resident_kib: f64,
    /// The sum of the peaks of all processes.
    pub peak_kib: f64,
}

/// The usage of `root` and its descendants; zero without a `root`.
pub fn usage(root: Option<u32>) -> Usage {
    let mut sum = Usage::default();
    for process in root.map(family).unwrap_or_default() {
        let fields = stat(process).unwrap_or_default();
        let ticks: f64 = fields.iter().skip(11).take(4).filter_map(|field| field.parse::<f64>().ok()).sum();
        sum.seconds += ticks / ticks_a_second();
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        sum.resident_kib += kib(&status, "VmRSS:");
        sum.peak_kib += kib(&status, "VmHWM:");
    }
    sum
}

fn family(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|process| Some((process, stat(process)?.get(1)?.parse().ok()?)))
        .collect();
    let mut family = vec![root];
    let mut next = 0;
    while let Some(&member) = family.get(next) {
        family.extend(parents.iter().filter(|(_, parent)| *parent == member).map(|(process, _)| process));
        next += 1;
    }
    family
}

/// The fields of /proc/PID/stat from the state on; the name before it may contain spaces.
fn stat(process: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split(' ').map(String::from).collect())
}

fn kib(status: &str, name: &str) -> f64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0.0)
}
