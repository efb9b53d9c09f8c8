//! Faults of AWS and their effects. A proxy between the emulator and the store, the catalog or a function's real
//! program injects the faults. A small Runtime API gives the programs their events.

mod costs;
mod glue;
mod ground;
mod lambda;
mod machine;
mod s3;
mod writers;
