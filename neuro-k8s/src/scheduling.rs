//! How the load generator's thread is scheduled beside services that may take every core.
//!
//! It needs little CPU time but needs it at once: when every core is busy, an ordinary thread waits for the slices of those
//! before it, tens of milliseconds, and sends late. Three ways out, the first that the system grants: the real-time policy
//! FIFO at its lowest priority (a right that root has), a slice of 0.1 ms, by which Linux 6.12 and later prefer a thread that
//! wakes for a moment over those that compute (no right needed), or nothing. Which one it was stands in the manifest.

/// Prefers the calling thread as far as the system grants it, and says how.
#[cfg(target_os = "linux")]
pub(crate) fn prefer_this_thread() -> String {
    if linux::set_fifo(1) {
        "fifo 1".to_owned()
    } else if linux::set_slice(100_000) {
        "slice 0.1 ms".to_owned()
    } else {
        "default".to_owned()
    }
}

/// Prefers the calling thread as far as the system grants it, and says how.
#[cfg(not(target_os = "linux"))]
pub(crate) fn prefer_this_thread() -> String {
    "default".to_owned()
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
mod linux {
    /// Puts the calling thread under `SCHED_FIFO`; whether that was granted. What it starts is scheduled as usual again.
    pub(super) fn set_fifo(priority: i32) -> bool {
        // SAFETY: `sched_param` is plain data for which zero is a value; the call reads it and touches no other memory.
        unsafe {
            let mut parameters: libc::sched_param = std::mem::zeroed();
            parameters.sched_priority = priority;
            libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &parameters) == 0
        }
    }

    /// `struct sched_attr` of sched_setattr(2), first version.
    #[repr(C)]
    #[derive(Default)]
    struct SchedAttr {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime_ns: u64,
        deadline_ns: u64,
        period_ns: u64,
    }

    /// Asks for a slice under the ordinary policy. Older kernels take the call and use their own slice.
    pub(super) fn set_slice(slice_ns: u64) -> bool {
        let mut attributes = SchedAttr::default();
        // SAFETY: the kernel writes at most the given size into the struct, then reads it; it keeps no pointer.
        unsafe {
            let size = size_of::<SchedAttr>();
            if libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) != 0 {
                return false;
            }
            attributes.runtime_ns = slice_ns;
            libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) == 0
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_way_is_found_and_said() {
        let way = std::thread::spawn(super::prefer_this_thread).join().unwrap();
        assert!(["fifo 1", "slice 0.1 ms", "default"].contains(&way.as_str()), "{way}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_slice_needs_no_right() {
        assert!(std::thread::spawn(|| super::linux::set_slice(100_000)).join().unwrap());
    }
}
