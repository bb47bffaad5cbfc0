//! The trained values: dfdx tensors, and the same values as slices for the engine.

use std::rc::Rc;

use dfdx::prelude::*;

/// A parameter on the tape: its values in the graph's layout, in one dimension.
pub type Parameter = Tensor<(usize,), f32, Cpu>;

/// All parameters of a model in the graph's order.
///
/// dfdx 0.13 copies a tensor's values in and out but lends no slice of them, and the engine reads slices: so the
/// values are here twice, and [`Parameters::change`] is the only place that writes them. Both are shared with the tape
/// between a forward pass and its backward pass.
pub struct Parameters {
    tensors: Rc<Vec<Parameter>>,
    values: Rc<Vec<Vec<f32>>>,
}

impl Parameters {
    pub fn new(values: Vec<Vec<f32>>) -> Self {
        let device = Cpu::default();
        let tensor = |v: &Vec<f32>| device.tensor_from_vec(v.clone(), (v.len(),));
        Self {
            tensors: Rc::new(values.iter().map(tensor).collect()),
            values: Rc::new(values),
        }
    }

    pub fn tensors(&self) -> Rc<Vec<Parameter>> {
        Rc::clone(&self.tensors)
    }

    pub fn values(&self) -> Rc<Vec<Vec<f32>>> {
        Rc::clone(&self.values)
    }

    /// Changes the values of one parameter. No tape may hold the parameters: it would keep the old ones.
    pub fn change(&mut self, index: usize, change: &mut dyn FnMut(&mut [f32])) {
        let values = Rc::make_mut(&mut self.values);
        let tensors = Rc::make_mut(&mut self.tensors);
        if let (Some(values), Some(tensor)) = (values.get_mut(index), tensors.get_mut(index)) {
            change(values);
            tensor.copy_from(values);
        }
    }
}

/// As the engine takes them.
pub fn slices(values: &[Vec<f32>]) -> Vec<&[f32]> {
    values.iter().map(Vec::as_slice).collect()
}
