//! The tiles of AMX: 16 rows of 64 bytes each, eight to a thread.
//!
//! A block keeps its sums in four of them and loads two of each factor for 32 terms of every sum: four products for four
//! loads.

use std::arch::asm;
use std::marker::PhantomData;
use std::sync::OnceLock;

use super::Factors;
use crate::exec::cpu::simd::is_capped;

/// The thread's tiles, configured; released when it is dropped.
pub struct Tiles {
    /// Tiles are a state of the thread.
    thread: PhantomData<*const ()>,
}

/// Whether the processor has the instructions and the system lets this process use them. Asked once.
pub fn are_permitted() -> bool {
    static PERMITTED: OnceLock<bool> = OnceLock::new();
    *PERMITTED.get_or_init(|| exist() && ask_permission())
}

/// CPUID, leaf 7: AMX-TILE, AMX-BF16, and the vectors that finish a block.
fn exist() -> bool {
    let features = raw_cpuid::CpuId::new();
    let features = features.get_extended_feature_info();
    features.is_some_and(|f| f.has_amx_tile() && f.has_amx_bf16())
        && std::arch::is_x86_feature_detected!("avx512bf16")
}

/// Linux reserves room for tiles in a process's state only if it is asked to (since 5.16); containers may forbid it.
fn ask_permission() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const XFEATURE_XTILEDATA: i64 = 18;
    let result: i64;
    // SAFETY: the system call takes two numbers and touches no memory of this process; the registers that a call changes
    // are named.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result == 0
}

/// The operand of `ldtilecfg`.
#[repr(C, align(64))]
struct Configuration([u8; 64]);

impl Configuration {
    /// All tiles have 16 rows of 64 bytes.
    const FULL: Self = {
        let mut bytes = [0; 64];
        // The palette.
        bytes[0] = 1;
        let mut tile = 0;
        while tile < 8 {
            bytes[16 + 2 * tile] = 64;
            bytes[48 + tile] = 16;
            tile += 1;
        }
        Self(bytes)
    };
}

/// Bytes between rows of a packed strip, and between rows of a block's sums.
const STRIP_ROW: usize = 64;
const SUMS_ROW: usize = 128;

/// Initial sums, steps, and final sums of a block; every tile is named, since none is an operand.
macro_rules! block {
    (
        $factors:ident, $sums:ident, $kept:ident,
        load: [$($load:literal),*], zero: [$($zero:literal),*], step: [$($step:literal),*], store: [$($store:literal),*]
    ) => {{
        let (rows, columns) = ($factors.rows, $factors.strips.columns);
        let first = rows.values.as_ptr();
        asm!(
            "test {kept:e}, {kept:e}",
            "jz 2f",
            $($load,)*
            "jmp 3f",
            "2:",
            $($zero,)*
            "3:",
            $($step,)*
            "add {a}, 64",
            "add {b}, 64",
            "add {v}, 1024",
            "add {w}, 1024",
            "dec {steps}",
            "jnz 3b",
            $($store,)*
            kept = in(reg) u32::from($kept),
            steps = inout(reg) $factors.steps => _,
            a = inout(reg) first => _,
            // Of one tile of rows there is no second, and nothing is read there.
            b = inout(reg) first.wrapping_add(super::TILE * rows.pitch) => _,
            pitch = in(reg) rows.pitch * size_of::<u16>(),
            v = inout(reg) columns.values.as_ptr() => _,
            w = inout(reg) columns.values.as_ptr().wrapping_add(columns.strip) => _,
            line = in(reg) STRIP_ROW,
            sums = in(reg) $sums.as_mut_ptr(),
            row = in(reg) SUMS_ROW,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }};
}

impl Tiles {
    /// This thread's, if the process may use them and no test stands for a smaller processor.
    pub fn open() -> Option<Self> {
        if !are_permitted() || is_capped() {
            return None;
        }
        // SAFETY: the processor has the instruction and the process the permission; the operand is 64 readable bytes that
        // describe legal tiles.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &Configuration::FULL, options(nostack, readonly));
        }
        let thread = PhantomData;
        Some(Self { thread })
    }

    /// As [`super::Unit::multiply`], which checks the lengths.
    #[inline(always)]
    pub fn multiply(&self, factors: Factors<'_>, sums: &mut [f32], kept: bool) {
        // SAFETY: `self` says that the tiles are configured. Rows and strips hold the values of every step, the sums 32 × 32
        // values (`Unit::multiply`). There is at least one step. The instructions change the tiles, the sums and the registers
        // named alone.
        unsafe {
            match (factors.rows.tiles, factors.strips.count) {
                (1, 1) => block!(
                    factors, sums, kept,
                    load: ["tileloadd tmm0, [{sums} + {row}]"],
                    zero: ["tilezero tmm0"],
                    step: [
                        "tileloadd tmm6, [{v} + {line}]",
                        "tileloadd tmm4, [{a} + {pitch}]",
                        "tdpbf16ps tmm0, tmm4, tmm6"
                    ],
                    store: ["tilestored [{sums} + {row}], tmm0"]
                ),
                (1, _) => block!(
                    factors, sums, kept,
                    load: [
                        "tileloadd tmm0, [{sums} + {row}]",
                        "tileloadd tmm1, [{sums} + {row} + 64]"
                    ],
                    zero: ["tilezero tmm0", "tilezero tmm1"],
                    step: [
                        "tileloadd tmm6, [{v} + {line}]",
                        "tileloadd tmm4, [{a} + {pitch}]",
                        "tileloadd tmm7, [{w} + {line}]",
                        "tdpbf16ps tmm0, tmm4, tmm6",
                        "tdpbf16ps tmm1, tmm4, tmm7"
                    ],
                    store: [
                        "tilestored [{sums} + {row}], tmm0",
                        "tilestored [{sums} + {row} + 64], tmm1"
                    ]
                ),
                (_, 1) => block!(
                    factors, sums, kept,
                    load: [
                        "tileloadd tmm0, [{sums} + {row}]",
                        "tileloadd tmm2, [{sums} + {row} + 2048]"
                    ],
                    zero: ["tilezero tmm0", "tilezero tmm2"],
                    step: [
                        "tileloadd tmm6, [{v} + {line}]",
                        "tileloadd tmm4, [{a} + {pitch}]",
                        "tileloadd tmm5, [{b} + {pitch}]",
                        "tdpbf16ps tmm0, tmm4, tmm6",
                        "tdpbf16ps tmm2, tmm5, tmm6"
                    ],
                    store: [
                        "tilestored [{sums} + {row}], tmm0",
                        "tilestored [{sums} + {row} + 2048], tmm2"
                    ]
                ),
                _ => block!(
                    factors, sums, kept,
                    load: [
                        "tileloadd tmm0, [{sums} + {row}]",
                        "tileloadd tmm1, [{sums} + {row} + 64]",
                        "tileloadd tmm2, [{sums} + {row} + 2048]",
                        "tileloadd tmm3, [{sums} + {row} + 2112]"
                    ],
                    zero: ["tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3"],
                    step: [
                        "tileloadd tmm6, [{v} + {line}]",
                        "tileloadd tmm4, [{a} + {pitch}]",
                        "tileloadd tmm7, [{w} + {line}]",
                        "tdpbf16ps tmm0, tmm4, tmm6",
                        "tileloadd tmm5, [{b} + {pitch}]",
                        "tdpbf16ps tmm1, tmm4, tmm7",
                        "tdpbf16ps tmm2, tmm5, tmm6",
                        "tdpbf16ps tmm3, tmm5, tmm7"
                    ],
                    store: [
                        "tilestored [{sums} + {row}], tmm0",
                        "tilestored [{sums} + {row} + 64], tmm1",
                        "tilestored [{sums} + {row} + 2048], tmm2",
                        "tilestored [{sums} + {row} + 2112], tmm3"
                    ]
                ),
            }
        }
    }
}

impl Tiles {
    /// Blocks on registers alone, 32 terms a round, for a measurement of what the processor can do at most. At least one round.
    pub fn multiply_registers(&self, rounds: usize) {
        // SAFETY: `self` says that the tiles are configured; the instructions change them and the register named alone.
        unsafe {
            asm!(
                "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
                "tilezero tmm4", "tilezero tmm5", "tilezero tmm6", "tilezero tmm7",
                "2:",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "dec {rounds}",
                "jnz 2b",
                rounds = inout(reg) rounds.max(1) => _,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, nomem),
            );
        }
    }
}

impl Drop for Tiles {
    /// Without tiles in use a thread is switched faster.
    fn drop(&mut self) {
        // SAFETY: the processor has the instruction; tiles that nobody uses any more lose their values.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}
