//! A step by its reference kernel, in float32: what no fast kernel computes.

use super::kernel::{Buffers, Context, Kernel};
use super::plan::Planner;
use super::scalar::{Scalar, bf16};
use crate::ops::reference::{Array, ArrayMut};
use crate::ops::{BufferId, Compute, Dtype, Extent, Site, Step};

#[derive(Clone, Copy)]
struct Form {
    extent: Extent,
    dtype: Dtype,
}

pub fn kernel(planner: &mut Planner<'_>, step: &Step) -> Kernel {
    let form = |&id: &BufferId| Form {
        extent: planner.extent(id),
        dtype: planner.dtype(id),
    };
    let reads: Vec<Form> = step.reads.iter().map(form).collect();
    let writes: Vec<Form> = step.writes.iter().map(form).collect();
    let op = step.op.clone();
    Kernel::new(move |buffers, context| run(&op, (&reads, &writes), buffers, context))
}

fn run(
    op: &impl Compute,
    (reads, writes): (&[Form], &[Form]),
    buffers: Buffers<'_>,
    context: &mut Context<'_, '_>,
) {
    let inputs: Vec<Vec<f32>> = reads
        .iter()
        .zip(&buffers.reads)
        .map(|(form, read)| match form.dtype {
            Dtype::Float32 => read.of::<f32>().to_vec(),
            Dtype::Bf16 => read.of::<bf16>().iter().map(|v| v.float()).collect(),
        })
        .collect();
    let mut outputs: Vec<Vec<f32>> = buffers.writes.iter().map(|w| vec![0.0; w.len]).collect();
    let arrays = reads.iter().zip(&inputs);
    let arrays = arrays.map(|(form, values)| Array {
        extent: form.extent,
        values: values.as_slice(),
    });
    let written = writes.iter().zip(&mut outputs);
    let written = written.map(|(form, values)| ArrayMut {
        extent: form.extent,
        values: values.as_mut_slice(),
    });
    op.reference(Site {
        batch: context.batch,
        reads: arrays.collect(),
        writes: written.collect(),
        params: context.params,
        grads: &mut *context.grads,
        stats: &mut *context.stats,
        dropout: context.dropout,
    });
    for ((form, write), values) in writes.iter().zip(buffers.writes).zip(outputs) {
        match form.dtype {
            Dtype::Float32 => write.of::<f32>().copy_from_slice(&values),
            Dtype::Bf16 => {
                let to = write.of::<bf16>().iter_mut();
                to.zip(values).for_each(|(to, v)| *to = bf16::round(v));
            }
        }
    }
}
