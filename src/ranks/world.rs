//! Which rank this process is, as its launcher tells it.
//!
//! | launcher | variables | they meet |
//! |---|---|---|
//! | Open MPI's `mpirun` | `OMPI_COMM_WORLD_RANK`, `OMPI_COMM_WORLD_SIZE` | in MPI |
//! | MPICH's `mpiexec`, `srun --mpi=pmi2` | `PMI_RANK`, `PMI_SIZE` | in MPI |
//! | `torchrun --no-python` | `RANK`, `WORLD_SIZE`, `MASTER_ADDR`, `MASTER_PORT` | at that address |
//! | `srun` | `SLURM_PROCID`, `SLURM_STEP_NUM_TASKS`, `SLURM_STEP_NODELIST` | on the step's first node, at a port that follows from job and step; or at `MASTER_ADDR`, `MASTER_PORT` |
//!
//! Where `srun` brings PMI and there is no library for MPI, they meet as without.

use crate::base::{Error, Kind, Result};

/// A process's place among those of its launcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct World {
    /// From 0.
    pub rank: usize,
    pub size: usize,
    /// Ranks on this machine, as far as the launcher tells.
    pub local_size: usize,
    pub(super) meeting: Meeting,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meeting {
    OpenMpi,
    Pmi,
    Address {
        host: String,
        port: u16,
        /// Who says another is of another job.
        token: String,
    },
}

/// A port that follows from a number, of those that Linux gives none away of by itself.
fn port_of(number: u32) -> u16 {
    20_000 + (number % 10_000) as u16
}

impl World {
    /// The process's own; `None`: it is alone.
    pub fn here() -> Result<Option<Self>> {
        let has_mpi = || super::mpi::opens(&super::mpi::OTHERS);
        Self::find(&|name| std::env::var(name).ok(), &has_mpi)
    }

    /// As [`World::here`], from other variables.
    fn find(
        variable: &dyn Fn(&str) -> Option<String>,
        has_mpi: &dyn Fn() -> bool,
    ) -> Result<Option<Self>> {
        let number = |name: &str| variable(name)?.trim().parse::<usize>().ok();
        let pair = |rank: &str, size: &str| number(rank).zip(number(size));
        let is_srun = number("SLURM_STEP_NUM_TASKS").is_some();
        let pmi = pair("PMI_RANK", "PMI_SIZE").filter(|_| !is_srun || has_mpi());
        type Meet<'v> = &'v dyn Fn() -> Result<Meeting>;
        let launchers: [(_, Meet<'_>); 4] = [
            (
                pair("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
                &|| Ok(Meeting::OpenMpi),
            ),
            (pmi, &|| Ok(Meeting::Pmi)),
            (pair("RANK", "WORLD_SIZE"), &|| of_torchrun(variable)),
            (pair("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"), &|| {
                of_srun(variable)
            }),
        ];
        let found = launchers
            .into_iter()
            .find_map(|(place, meet)| Some((place?, meet)));
        let Some(((rank, size), meet)) = found.filter(|((_, size), _)| *size > 1) else {
            return Ok(None);
        };
        if rank >= size {
            let message = format!("the launcher says rank {rank} of {size}");
            return Err(Error::new(Kind::Usage, message));
        }
        let local = [
            "OMPI_COMM_WORLD_LOCAL_SIZE",
            "MPI_LOCALNRANKS",
            "LOCAL_WORLD_SIZE",
        ];
        // Slurm's short form begins with the first node's: `2(x3),1`.
        let of_slurm = || {
            let text = variable("SLURM_STEP_TASKS_PER_NODE")?;
            text.split(|c: char| !c.is_ascii_digit())
                .next()?
                .parse()
                .ok()
        };
        let local_size = local.into_iter().find_map(number).or_else(of_slurm);
        Ok(Some(Self {
            rank,
            size,
            local_size: local_size.unwrap_or(1).max(1),
            meeting: meet()?,
        }))
    }
}

/// The GPU of this process, by its number among those that it sees: of several ranks on a machine each has another.
pub fn own_gpu() -> usize {
    own_gpu_by(&|name| std::env::var(name).ok())
}

fn own_gpu_by(variable: &dyn Fn(&str) -> Option<String>) -> usize {
    let number = |name: &str| variable(name)?.trim().parse().ok();
    let place = [
        "OMPI_COMM_WORLD_LOCAL_RANK",
        "MPI_LOCALRANKID",
        "LOCAL_RANK",
        "SLURM_LOCALID",
    ];
    let seen = variable("CUDA_VISIBLE_DEVICES").map(|list| list.split(',').count());
    match seen {
        // Some launchers show a rank none but its own.
        Some(1) => 0,
        _ => place.into_iter().find_map(number).unwrap_or(0),
    }
}

fn of_torchrun(variable: &dyn Fn(&str) -> Option<String>) -> Result<Meeting> {
    let port = variable("MASTER_PORT").and_then(|port| port.trim().parse::<u16>().ok());
    // Where torchrun's own process listens there, another that follows from it.
    let taken = variable("TORCHELASTIC_USE_AGENT_STORE").is_some_and(|used| used == "True");
    let port = port.map(|port| match taken {
        true => port_of(u32::from(port) + 1),
        false => port,
    });
    match (variable("MASTER_ADDR"), port) {
        (Some(host), Some(port)) => Ok(Meeting::Address {
            host,
            port,
            token: variable("TORCHELASTIC_RUN_ID").unwrap_or_default(),
        }),
        _ => Err(Error::new(
            Kind::Usage,
            "RANK and WORLD_SIZE say that there are several processes, but not where they meet",
        )
        .hint("MASTER_ADDR and MASTER_PORT say it, as torchrun sets them; for one process unset WORLD_SIZE")),
    }
}

fn of_srun(variable: &dyn Fn(&str) -> Option<String>) -> Result<Meeting> {
    let nodes = variable("SLURM_STEP_NODELIST").unwrap_or_default();
    let number = |name: &str| -> u32 {
        let text = variable(name).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    };
    let (job, step) = (number("SLURM_JOB_ID"), number("SLURM_STEP_ID"));
    let own = port_of(job.wrapping_mul(31).wrapping_add(step));
    let port = variable("MASTER_PORT").and_then(|port| port.trim().parse().ok());
    match variable("MASTER_ADDR").or_else(|| first_node(&nodes)) {
        Some(host) => Ok(Meeting::Address {
            host,
            port: port.unwrap_or(own),
            token: format!("{job}.{step}"),
        }),
        None => Err(Error::new(
            Kind::Usage,
            "srun started several processes, and SLURM_STEP_NODELIST does not say on which nodes",
        )),
    }
}

/// Of Slurm's short form: `gpu[03-05,9],login` is gpu03 and others.
fn first_node(nodes: &str) -> Option<String> {
    let end = nodes.find([',', '[']).unwrap_or(nodes.len());
    let (name, rest) = nodes.split_at(end);
    let first = match rest.strip_prefix('[') {
        None => name.to_owned(),
        Some(numbers) => {
            let end = numbers.find(['-', ',', ']'])?;
            let behind = numbers.split_once(']')?.1;
            let behind = behind.split(',').next().unwrap_or_default();
            format!("{name}{}{behind}", &numbers[..end])
        }
    };
    (!first.is_empty()).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(variables: &[(&str, &str)]) -> Result<Option<World>> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        World::find(&variable, &|| false)
    }

    #[test]
    fn each_launcher_is_known() {
        let place = |variables| {
            find(variables)
                .unwrap()
                .map(|world| (world.rank, world.size))
        };
        assert_eq!(place(&[]), None);
        let open = [("OMPI_COMM_WORLD_RANK", "1"), ("OMPI_COMM_WORLD_SIZE", "4")];
        assert_eq!(place(&open), Some((1, 4)));
        assert_eq!(place(&[("PMI_RANK", "0"), ("PMI_SIZE", "1")]), None);
        // A batch script has a task's number before it has any tasks.
        assert_eq!(place(&[("SLURM_PROCID", "0"), ("SLURM_NTASKS", "4")]), None);
        // PMI without a library for it.
        let srun = [
            ("PMI_RANK", "1"),
            ("PMI_SIZE", "2"),
            ("SLURM_PROCID", "1"),
            ("SLURM_STEP_NUM_TASKS", "2"),
            ("SLURM_STEP_NODELIST", "n[1-2]"),
            ("SLURM_JOB_ID", "7"),
        ];
        let meeting = find(&srun).unwrap().unwrap().meeting;
        let expected = Meeting::Address {
            host: "n1".to_owned(),
            port: 20_217,
            token: "7.0".to_owned(),
        };
        assert_eq!(meeting, expected);
        let torchrun = [
            ("RANK", "2"),
            ("WORLD_SIZE", "3"),
            ("MASTER_ADDR", "node1"),
            ("MASTER_PORT", "29500"),
        ];
        assert_eq!(place(&torchrun), Some((2, 3)));
        assert_eq!(find(&torchrun[..2]).unwrap_err().kind, Kind::Usage);
        let with_agent = [&torchrun[..], &[("TORCHELASTIC_USE_AGENT_STORE", "True")]].concat();
        let port = |variables: &[(&str, &str)]| match find(variables).unwrap().unwrap().meeting {
            Meeting::Address { port, .. } => port,
            _ => 0,
        };
        assert_eq!((port(&torchrun), port(&with_agent)), (29_500, 29_501));
        assert!(find(&[("PMI_RANK", "4"), ("PMI_SIZE", "4")]).is_err());
    }

    #[test]
    fn each_rank_of_a_machine_has_a_gpu_of_its_own() {
        let own = |variables: &[(&str, &str)]| {
            own_gpu_by(&|name| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(own(&[]), 0);
        assert_eq!(own(&[("LOCAL_RANK", "3")]), 3);
        assert_eq!(
            own(&[("MPI_LOCALRANKID", "1"), ("CUDA_VISIBLE_DEVICES", "4,5")]),
            1
        );
        assert_eq!(
            own(&[("SLURM_LOCALID", "2"), ("CUDA_VISIBLE_DEVICES", "6")]),
            0
        );
    }

    #[test]
    fn the_first_node_of_a_list() {
        for (nodes, first) in [
            ("n1", Some("n1")),
            ("n[1-2]", Some("n1")),
            ("gpu[03-05,9],login", Some("gpu03")),
            ("a,b", Some("a")),
            ("rack[2,4]-node,c", Some("rack2-node")),
            ("", None),
            ("n[", None),
        ] {
            assert_eq!(first_node(nodes).as_deref(), first, "{nodes}");
        }
    }
}
