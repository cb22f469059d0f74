//! OpenMP's functions, as GCC's compiler calls them, for the thread that reads.
//!
//! Tesseract has the two directions of a layer of its network run as sections. Teams of one thread are what many pictures on
//! few cores need, but GCC's runtime wakes sleepers there, too, who do not exist: 160,000 calls of the kernel for a page, one
//! twentieth of the time it takes. Here the sections run one after the other, on the thread that asks.
//!
//! All other threads, and so all other libraries, get what they ask for.

use std::cell::Cell;
use std::ffi::{c_int, c_uint, c_void};
use std::marker::PhantomData;

// The names of these functions have versions, which a linker only tells from ours if it sees GCC's runtime as well.
#[link(name = "gomp")]
unsafe extern "C" {}

type Region = unsafe extern "C" fn(*mut c_void);

super::functions! {
    /// GCC's runtime itself.
    OpenMp {
        parallel: c"GOMP_parallel", unsafe extern "C" fn(Region, *mut c_void, c_uint, c_uint);
        parallel_sections: c"GOMP_parallel_sections",
            unsafe extern "C" fn(Region, *mut c_void, c_uint, c_uint, c_uint);
        sections_next: c"GOMP_sections_next", unsafe extern "C" fn() -> c_uint;
        sections_end_nowait: c"GOMP_sections_end_nowait", unsafe extern "C" fn();
        get_num_threads: c"omp_get_num_threads", unsafe extern "C" fn() -> c_int;
        get_thread_num: c"omp_get_thread_num", unsafe extern "C" fn() -> c_int;
    }
}

thread_local! {
    /// Whether this thread is Tesseract's for now.
    static READING: Cell<bool> = const { Cell::new(false) };
    /// Of the sections that this thread is in: how many there are, and how many were begun.
    static SECTIONS: Cell<(c_uint, c_uint)> = const { Cell::new((0, 0)) };
}

/// While it lives, this thread's teams are the thread alone, whatever OMP_THREAD_LIMIT says.
pub(in super::super) struct Reading {
    before: bool,
    /// Of this thread.
    stays: PhantomData<*const ()>,
}

impl Reading {
    pub(in super::super) fn begin() -> Self {
        Self { before: READING.replace(true), stays: PhantomData }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        READING.set(self.before);
    }
}

/// The runtime itself, for threads that do not read.
fn others(_function: &'static str) -> Option<&'static OpenMp> {
    #[cfg(test)]
    super::calls::count(_function);
    if READING.get() { None } else { OpenMp::loaded() }
}

/// All threads of a team run `region`.
///
/// SAFETY: `region` and `data` are what the caller's compiler made of its code.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn GOMP_parallel(
    region: Region,
    data: *mut c_void,
    threads: c_uint,
    flags: c_uint,
) {
    // SAFETY: as above.
    match others("GOMP_parallel") {
        Some(runtime) => unsafe { (runtime.parallel)(region, data, threads, flags) },
        None => unsafe { region(data) },
    }
}

/// All threads of a team take turns at the `sections` of `region`.
///
/// SAFETY: as for [`GOMP_parallel`].
#[unsafe(no_mangle)]
unsafe extern "C" fn GOMP_parallel_sections(
    region: Region,
    data: *mut c_void,
    threads: c_uint,
    sections: c_uint,
    flags: c_uint,
) {
    if let Some(runtime) = others("GOMP_parallel_sections") {
        // SAFETY: as above.
        return unsafe { (runtime.parallel_sections)(region, data, threads, sections, flags) };
    }
    // A section may have sections of its own.
    let around = SECTIONS.replace((sections, 0));
    // SAFETY: as above.
    unsafe { region(data) };
    SECTIONS.set(around);
}

/// The number of the next section, from 1, or 0 after the last.
///
/// SAFETY: called between the beginning and the end of sections.
#[unsafe(no_mangle)]
unsafe extern "C" fn GOMP_sections_next() -> c_uint {
    if let Some(runtime) = others("GOMP_sections_next") {
        // SAFETY: as above.
        return unsafe { (runtime.sections_next)() };
    }
    let (count, begun) = SECTIONS.get();
    if begun == count {
        return 0;
    }
    SECTIONS.set((count, begun + 1));
    begun + 1
}

/// This thread has no more sections to run.
///
/// SAFETY: as for [`GOMP_sections_next`].
#[unsafe(no_mangle)]
unsafe extern "C" fn GOMP_sections_end_nowait() {
    if let Some(runtime) = others("GOMP_sections_end_nowait") {
        // SAFETY: as above.
        unsafe { (runtime.sections_end_nowait)() };
    }
}

/// The size of the team.
#[unsafe(no_mangle)]
extern "C" fn omp_get_num_threads() -> c_int {
    // SAFETY: may be called at any time.
    others("omp_get_num_threads").map_or(1, |runtime| unsafe { (runtime.get_num_threads)() })
}

/// Which thread of the team this is, from 0.
#[unsafe(no_mangle)]
extern "C" fn omp_get_thread_num() -> c_int {
    // SAFETY: may be called at any time.
    others("omp_get_thread_num").map_or(0, |runtime| unsafe { (runtime.get_thread_num)() })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn every_section_has_its_turn_once_also_those_within() {
        unsafe extern "C" fn region(data: *mut c_void) {
            // SAFETY: what the test passes on below.
            let turns = unsafe { &mut *data.cast::<Vec<c_uint>>() };
            loop {
                // SAFETY: within sections.
                let section = unsafe { GOMP_sections_next() };
                turns.push(section);
                match section {
                    0 => break,
                    // SAFETY: the same data.
                    2 if turns.len() == 2 => unsafe { GOMP_parallel_sections(region, data, 0, 3, 0) },
                    _ => {}
                }
            }
        }
        let _reading = Reading::begin();
        let mut turns: Vec<c_uint> = Vec::new();
        // SAFETY: `turns` lives until all sections have returned.
        unsafe { GOMP_parallel_sections(region, (&raw mut turns).cast(), 0, 2, 0) };
        assert_eq!(turns, [1, 2, 1, 2, 3, 0, 0]);
        // SAFETY: looks at numbers of this thread only.
        assert_eq!(unsafe { GOMP_sections_next() }, 0);
    }

    #[derive(Default)]
    struct Team {
        size: AtomicUsize,
        members: AtomicUsize,
    }

    unsafe extern "C" fn member(data: *mut c_void) {
        // SAFETY: what the test passes on below.
        let team = unsafe { &*data.cast::<Team>() };
        team.size.store(omp_get_num_threads() as usize, Ordering::Relaxed);
        team.members.fetch_add(1 << (8 * omp_get_thread_num()), Ordering::Relaxed);
    }

    /// The size of a team of three, which may be smaller, and a bit in the byte of each member.
    fn team() -> (usize, usize) {
        let mut team = Team::default();
        // SAFETY: `team` lives until all members have returned.
        unsafe { GOMP_parallel(member, (&raw mut team).cast(), 3, 0) };
        (team.size.into_inner(), team.members.into_inner())
    }

    #[test]
    fn only_the_thread_that_reads_is_alone() {
        let limit = std::env::var("OMP_THREAD_LIMIT").ok().and_then(|limit| limit.parse().ok());
        // Some builds of Tesseract bring no OpenMP along.
        let size = OpenMp::loaded().map_or(1, |_| limit.unwrap_or(3).min(3));
        let all = (0..size).map(|member| 1 << (8 * member)).sum();
        assert_eq!(team(), (size, all));
        let reading = Reading::begin();
        assert_eq!(team(), (1, 1));
        std::thread::scope(|threads| {
            threads.spawn(|| assert_eq!(team(), (size, all)));
        });
        drop(Reading::begin());
        assert_eq!(team(), (1, 1));
        drop(reading);
        assert_eq!(team(), (size, all));
    }
}
