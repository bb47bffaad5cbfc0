//! Runs that other machines compute: the batch script for Slurm, what the queue says, when a run that never gets anywhere is
//! left alone.
//!
//! No state is kept but the run folders: which runs are open is read from them, and which of those wait already, from the
//! scripts that the queue has.

pub mod duration;
pub mod quote;
pub mod script;
pub mod queue;
pub mod sbatch;
pub mod starts;
