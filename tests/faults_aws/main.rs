//! What AWS does wrong, and what comes of it. A fault proxy stands between the lake, the catalog or a function's real
//! program and the emulator; a small Runtime API hands the programs their events.

mod costs;
mod glue;
mod ground;
mod lambda;
mod machine;
mod s3;
mod writers;
