//! A run in the order of sums of AMX moves between machines with and without it, and keeps its bits.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::skipped::skipped;
use crate::support::*;

/// An instruction of the filter by which Linux decides about system calls (`linux/bpf_common.h`).
#[repr(C)]
struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    value: u32,
}

/// `struct sock_fprog`
#[repr(C)]
struct Filter {
    length: u16,
    instructions: *const Instruction,
}

unsafe extern "C" {
    fn prctl(option: i32, second: u64, third: *const Filter, fourth: u64, fifth: u64) -> i32;
}

/// Refuses the request for the tiles, as a container may; everything else is allowed.
static WITHOUT_TILES: [Instruction; 6] = {
    const LOAD: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const fn instruction(code: u16, value: u32, if_false: u8) -> Instruction {
        Instruction {
            code,
            if_true: 0,
            if_false,
            value,
        }
    }
    [
        // The number of the call: arch_prctl.
        instruction(LOAD, 0, 0),
        instruction(JUMP_IF_EQUAL, 158, 3),
        // Its first argument: ARCH_REQ_XCOMP_PERM.
        instruction(LOAD, 16, 0),
        instruction(JUMP_IF_EQUAL, 0x1023, 1),
        // EPERM
        instruction(RETURN, 0x0005_0001, 0),
        instruction(RETURN, 0x7fff_0000, 0),
    ]
};

/// The command in a process that gets no tiles.
fn without_tiles(mut command: Command) -> Output {
    const PR_SET_NO_NEW_PRIVS: i32 = 38;
    const PR_SET_SECCOMP: i32 = 22;
    const SECCOMP_MODE_FILTER: u64 = 2;
    let refuse = || {
        let filter = Filter {
            length: WITHOUT_TILES.len() as u16,
            instructions: WITHOUT_TILES.as_ptr(),
        };
        // SAFETY: both options read their arguments alone, and the filter outlives the calls.
        let results = unsafe {
            [
                prctl(PR_SET_NO_NEW_PRIVS, 1, std::ptr::null(), 0, 0),
                prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0),
            ]
        };
        match results {
            [0, 0] => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    };
    // SAFETY: between fork and exec two system calls are made, and nothing is allocated.
    unsafe { command.pre_exec(refuse) };
    command.in_time()
}

fn tiny(out: &Path, flags: &[&str]) -> Command {
    let run = ["run", TINY, "--engine", "compiled-amx", "--out"];
    command(&[&run[..], &[out.to_str().unwrap()], flags].concat())
}

/// What a run computed; its manifest also lists the machines.
fn computed(out: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let mut files = results(&only_run(out));
    files.remove("manifest.json");
    files
}

#[test]
fn a_run_moves_between_machines_with_amx_and_without() {
    if !ffn::exec::cpu::has_amx() {
        skipped("AMX, which this machine does not have or does not give");
        return;
    }
    let [with, without, there, back] = [(); 4].map(|()| tempfile::tempdir().unwrap());
    expect(&tiny(with.path(), &[]).in_time(), 0);
    let output = without_tiles(tiny(without.path(), &[]));
    expect(&output, 0);
    let said = stdout(&output);
    assert!(
        said.contains("computes without AMX: the same bits"),
        "{said}"
    );
    // A part on one, the rest on the other.
    let part = ["--max-minutes", "0"];
    expect(&tiny(there.path(), &part).in_time(), 75);
    expect(&without_tiles(tiny(there.path(), &[])), 0);
    expect(&without_tiles(tiny(back.path(), &part)), 75);
    expect(&tiny(back.path(), &[]).in_time(), 0);
    for moved in [without, there, back] {
        assert_same(&computed(moved.path()), &computed(with.path()));
    }
}

#[test]
fn a_machine_that_does_not_give_amx_counts_as_one_without() {
    let output = without_tiles(command(&["devices"]));
    expect(&output, 0);
    let said = stdout(&output);
    assert!(!said.contains("amx"), "{said}");
}
