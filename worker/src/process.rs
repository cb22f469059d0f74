//! What this process tells the libraries below it before they begin. The only unsafe code of this crate.
//!
//! Each library is told by its own interface. What has none is a variable that has to be there when the process is started:
//! README and `docker/` set it, and without it docent does the same work, a little slower.
#![allow(unsafe_code)]

use std::env;

/// Called once, first of all, while there is no other thread.
pub fn prepare() {
    share_memory();
    keep_to_ourselves();
}

/// ONNX Runtime as its makers build it keeps a database of what is run, in the user's cache, and sends it to them. Its own
/// function against that is called when it is loaded ([`docent_models::session::init_runtime`]) and comes after the
/// beginning of that database; what it looks at before is a variable.
fn keep_to_ourselves() {
    const VARIABLE: &str = "ORT_DISABLE_TELEMETRY";
    if env::var_os(VARIABLE).is_none() {
        // SAFETY: nobody reads the environment meanwhile, since there is no other thread yet.
        unsafe { env::set_var(VARIABLE, "1") };
    }
}

/// Whether the user told the C library that himself, by a variable or by a tunable.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn is_told(variable: &str, tunable: &str) -> bool {
    let tunables = env::var_os("GLIBC_TUNABLES").unwrap_or_default();
    env::var_os(variable).is_some() || tunables.to_string_lossy().contains(tunable)
}

/// The C library keeps up to eight heaps for each core, and what large pictures left in one is of no use to the others: two
/// take a quarter less memory in the same time. What is large it gives back to the kernel at once and takes again for the next
/// picture, page by page, until it has learned better. It is told: what has up to 32 MiB, the most that older versions take,
/// stays in the heaps, and the end of a heap goes back when 64 MiB of it are free.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn share_memory() {
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let heaps = i32::try_from(2 * cores).unwrap_or(i32::MAX);
    for (option, value, variable, tunable) in [
        (libc::M_ARENA_MAX, heaps, "MALLOC_ARENA_MAX", "glibc.malloc.arena_max"),
        (libc::M_MMAP_THRESHOLD, 32 << 20, "MALLOC_MMAP_THRESHOLD_", "glibc.malloc.mmap_threshold"),
        (libc::M_TRIM_THRESHOLD, 64 << 20, "MALLOC_TRIM_THRESHOLD_", "glibc.malloc.trim_threshold"),
    ] {
        if !is_told(variable, tunable) {
            // SAFETY: takes two numbers; of this function the manual asks only that it comes before the first use by threads.
            // What it does not understand it leaves as it is.
            unsafe { libc::mallopt(option, value) };
        }
    }
}

/// Other C libraries keep few heaps by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn share_memory() {}
