//! Batch norm (Ioffe and Szegedy, 2015) and layer norm (Ba et al., 2016): y = γ·(x − μ)/√(σ² + eps) + β, with μ and σ² of each
//! channel over rows, or of each row over channels.

use dfdx::prelude::*;

use super::{Real, Rows, Vector, in_every_row, renamed, vector};

/// Weight of the new statistics in the running ones.
const MOMENTUM: f64 = 0.1;

/// Weight γ, bias β and what is added to the variance.
pub struct Affine<V> {
    pub weight: V,
    pub bias: V,
    pub eps: f64,
}

/// The running statistics of one norm.
pub struct Running<'a> {
    pub mean: &'a mut [f32],
    pub var: &'a mut [f32],
    pub batches: &'a mut u64,
}

/// μ and σ² (divided by n) are those of x, in groups of `group` rows; the running statistics follow the first group, as
/// those of DataParallel follow its first replica.
pub fn by_batch<E: Real, T: Tape<E, E::On>>(
    x: &Rows<E>,
    affine: &Affine<Vector<E>>,
    mut running: Running<'_>,
    group: usize,
) -> Result<Rows<E, T>, CpuError> {
    let rows = x.shape().0;
    let (x, tape) = renamed(x.retaped::<T>())?.split_tape();
    let mut whole: Option<Rows<E, T>> = None;
    for start in (0..rows).step_by(group) {
        let part = x.retaped::<T>();
        let part = part.try_slice((start..rows.min(start + group), ..))?;
        let mean = part.with_empty_tape().try_mean::<(usize,), Axis<0>>()?;
        let var = part.with_empty_tape().try_var::<(usize,), Axis<0>>()?;
        if start == 0 {
            running.follow(&mean, &var, part.shape().0);
        }
        let part = normalize(part, mean, var, affine)?;
        whole = Some(match whole {
            None => part,
            Some(whole) => (whole, part).try_concat_along(Axis::<0>)?,
        });
    }
    let (whole, parts) = whole.ok_or(CpuError::WrongNumElements)?.split_tape();
    Ok(whole.put_tape(tape.merge(parts)))
}

/// μ and σ² are the running statistics.
pub fn by_running<E: Real, T: Tape<E, E::On>>(
    x: &Rows<E>,
    affine: &Affine<Vector<E>>,
    running: &Running<'_>,
) -> Result<Rows<E, T>, CpuError> {
    let constant = |values: &[f32]| vector(values.iter().map(|&v| f64::from(v)));
    let (mean, var) = (constant(running.mean)?, constant(running.var)?);
    normalize(x.retaped(), mean.retaped(), var.retaped(), affine)
}

/// μ and σ² (divided by the number of channels) are those of each row.
pub fn by_pixel<E: Real, T: Tape<E, E::On>>(
    x: Rows<E, T>,
    affine: Affine<Vector<E, T>>,
) -> Result<Rows<E, T>, CpuError> {
    let shape = *x.shape();
    // What is read three times has its gradients added up.
    let (x, tape) = renamed(x)?.split_tape();
    let mean = x.retaped::<T>().try_mean::<(usize,), Axis<1>>()?;
    let var = x.retaped::<T>().try_var::<(usize,), Axis<1>>()?;
    let deviation = var.try_add(E::nearest(affine.eps))?.try_sqrt()?;
    let mean = mean.try_broadcast_like::<_, Axis<1>>(&shape)?;
    let centred = x.put_tape(tape).try_sub(mean)?;
    let normal = centred.try_div(deviation.try_broadcast_like::<_, Axis<1>>(&shape)?)?;
    let scaled = normal.try_mul(in_every_row(affine.weight, &shape)?)?;
    scaled.try_add(in_every_row(affine.bias, &shape)?)
}

fn normalize<E: Real, T: Tape<E, E::On>>(
    x: Rows<E, T>,
    mean: Vector<E, T>,
    var: Vector<E, T>,
    affine: &Affine<Vector<E>>,
) -> Result<Rows<E, T>, CpuError> {
    let shape = *x.shape();
    let deviation = var.try_add(E::nearest(affine.eps))?.try_sqrt()?;
    let centred = x.try_sub(in_every_row(mean, &shape)?)?;
    let normal = centred.try_div(in_every_row(deviation, &shape)?)?;
    let weight = in_every_row(affine.weight.retaped::<T>(), &shape)?;
    let bias = in_every_row(affine.bias.retaped::<T>(), &shape)?;
    normal.try_mul(weight)?.try_add(bias)
}

impl Running<'_> {
    /// r ← 0.9·r + 0.1·new, the new variance divided by n − 1.
    fn follow<E: Real, T>(&mut self, mean: &Vector<E, T>, var: &Vector<E, T>, count: usize) {
        let unbiased = count as f64 / (count as f64 - 1.0).max(1.0);
        let follow = |running: &mut [f32], new: Vec<E>, factor: f64| {
            for (running, new) in running.iter_mut().zip(new) {
                let old = (1.0 - MOMENTUM) * f64::from(*running);
                *running = (old + MOMENTUM * factor * new.exact()) as f32;
            }
        };
        follow(self.mean, mean.as_vec(), 1.0);
        follow(self.var, var.as_vec(), unbiased);
        *self.batches += 1;
    }
}
