//! Configures the C libraries before they start. The only unsafe code of this crate.
//!
//! Each library is configured through its own interface. One setting has none and must be a variable when the process starts
//! (`GLIBC_TUNABLES`): `make run` and the images set it. Without it docent does the same work, a little slower.
#![allow(unsafe_code)]

use std::env;

/// Must run once, before anything else, while there is no other thread.
pub fn prepare() {
    share_memory();
    keep_to_ourselves();
}

/// ONNX Runtime's published builds keep a database of what they run, in the user's cache, and send it to their makers. The function
/// that disables this can only run once the library is loaded ([`docent_models::session::init_runtime`]), when the database
/// exists already. The library reads a variable before that.
fn keep_to_ourselves() {
    const VARIABLE: &str = "ORT_DISABLE_TELEMETRY";
    if env::var_os(VARIABLE).is_none() {
        // SAFETY: nobody reads the environment meanwhile, since there is no other thread yet.
        unsafe { env::set_var(VARIABLE, "1") };
    }
}

/// Whether the user set this option of the C library, with a variable or a tunable.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn is_told(variable: &str, tunable: &str) -> bool {
    let tunables = env::var_os("GLIBC_TUNABLES").unwrap_or_default();
    env::var_os(variable).is_some() || tunables.to_string_lossy().contains(tunable)
}

/// The C library keeps up to eight heaps for each core, and the others cannot use what large pictures left free in one. Two heaps
/// take a quarter less memory in the same time. By default it also returns large blocks to the kernel at once and gets them back,
/// page by page, for the next picture. With these settings blocks of up to 32 MiB, the most that older versions accept, stay in
/// the heaps, and the end of a heap returns to the kernel when 64 MiB of it are free.
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

/// Other C libraries keep few heaps anyway.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn share_memory() {}
