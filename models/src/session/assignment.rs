//! Which provider ONNX Runtime gave a graph's nodes to.
//!
//! The binding has no safe way to ask. One would be to profile a run and to count the providers in the file that it leaves,
//! which needs made-up values for every input of every network, a folder to write to, and a run at every start. That a
//! provider was registered says nothing: it takes the nodes that it knows, and ONNX Runtime leaves all others to the
//! processor without a word.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fmt;
use std::ptr;

use ort::AsPointer;
use ort::session::Session;

use super::Provider;

/// The session's option without which there is nothing to ask.
pub(super) const RECORD: &str = "session.record_ep_graph_assignment_info";

/// The parts of a graph that each provider runs, by ONNX Runtime's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assigned(BTreeMap<String, usize>);

impl Assigned {
    /// Asks a session that was built with [`RECORD`].
    pub fn of(session: &Session) -> Result<Self, ort::Error> {
        let api = ort::api();
        let mut parts = BTreeMap::new();
        let (mut first, mut count) = (ptr::null(), 0);
        // SAFETY: the session is borrowed, so it lives; both other pointers are to variables of this function. The list
        // that is answered and what it points to belong to the session, and are read before this borrow of it ends.
        // `result_from_status` takes the status that was answered, once.
        unsafe {
            let status = (api.Session_GetEpGraphAssignmentInfo)(session.ptr(), &mut first, &mut count);
            ort::Error::result_from_status(status)?;
            for index in 0..count {
                let mut name = ptr::null();
                ort::Error::result_from_status((api.EpAssignedSubgraph_GetEpName)(
                    *first.add(index),
                    &mut name,
                ))?;
                if !name.is_null() {
                    *parts.entry(CStr::from_ptr(name).to_string_lossy().into_owned()).or_default() += 1;
                }
            }
        }
        Ok(Self(parts))
    }

    /// Whether anything runs on something else than the processor.
    pub fn accelerated(&self) -> bool {
        let cpu = Provider::Cpu.to_string();
        self.0.keys().any(|name| *name != cpu)
    }
}

impl fmt::Display for Assigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpu = Provider::Cpu.to_string();
        let others: Vec<&str> = self.0.keys().map(String::as_str).filter(|name| *name != cpu).collect();
        match (others.as_slice(), self.0.contains_key(&cpu)) {
            // A graph that was folded into constants has no nodes, and none of them is elsewhere.
            ([], _) => f.write_str(&cpu),
            (others, false) => f.write_str(&others.join(" and ")),
            (others, true) => write!(f, "{} (partly CPU)", others.join(" and ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_partly_on_the_processor_says_so() {
        let shown = |names: &[&str]| {
            let parts = names.iter().map(|name| ((*name).to_owned(), 1)).collect();
            let assigned = Assigned(parts);
            (assigned.to_string(), assigned.accelerated())
        };
        let (cpu, cuda, tensorrt) =
            ("CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider");
        assert_eq!(shown(&[cpu]), (cpu.to_owned(), false));
        assert_eq!(shown(&[]), (cpu.to_owned(), false));
        assert_eq!(shown(&[cuda]), (cuda.to_owned(), true));
        assert_eq!(shown(&[cpu, cuda]), ("CUDAExecutionProvider (partly CPU)".to_owned(), true));
        assert_eq!(
            shown(&[cpu, cuda, tensorrt]).0,
            "CUDAExecutionProvider and TensorrtExecutionProvider (partly CPU)"
        );
    }
}
