//! Time for which threads waited for a CPU.

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::experiment::lab_server::LabServer;

/// Time in the state `runnable`, summed over the threads of each server that took part. In JSON, an object with a field
/// `SERVER_seconds` for each of them.
#[derive(Debug, Clone, Default)]
pub struct CpuWait(pub Vec<(LabServer, f64)>);

impl Serialize for CpuWait {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (server, seconds) in &self.0 {
            map.serialize_entry(&format!("{server}_seconds"), seconds)?;
        }
        map.end()
    }
}
