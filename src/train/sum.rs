//! What the shards of a step come to together: sums in the order of one binary tree, whoever computes which shard.
//!
//! The tree is that of a segment tree over the shards' numbers: a node of 2^k shards begins at a multiple of 2^k and is the sum of its two
//! halves. Where the shards are no power of two, the nodes that remain are added from the right. So the order of every sum depends on
//! the number of shards alone, and floating point gives the same bits on any number of ranks.

use crate::exec::Statistics;

/// What can be added in the tree.
pub trait Add {
    /// `self + other`, where `other` is of the shards that follow.
    fn add(&mut self, other: Self);
}

/// What some shards of a step come to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sum {
    /// In the graph's order. None: they are on the device still, because the step has one pass.
    pub gradients: Vec<Vec<f32>>,
    /// Where the running statistics follow the mean over the shards: those after each, added up, and how many they are.
    pub statistics: Option<(Statistics, usize)>,
    /// The total, then its terms.
    pub losses: Vec<(String, f64)>,
    /// For each branch: clips whose largest logit is their label's.
    pub right: Vec<u64>,
    /// Of the clips in order.
    pub ids: Vec<String>,
    /// Videos left out, with the reason.
    pub skipped: Vec<(String, String)>,
}

impl Add for Sum {
    fn add(&mut self, other: Self) {
        add_all(&mut self.gradients, other.gradients);
        match (&mut self.statistics, other.statistics) {
            (Some((own, count)), Some((others, more))) => {
                add_all(&mut own.mean, others.mean);
                add_all(&mut own.var, others.var);
                *count += more;
            }
            (own @ None, others) => *own = others,
            (Some(_), None) => {}
        }
        match self.losses.is_empty() {
            true => self.losses = other.losses,
            false => {
                let pairs = self.losses.iter_mut().zip(other.losses);
                pairs.for_each(|((_, own), (_, other))| *own += other);
            }
        }
        match self.right.is_empty() {
            true => self.right = other.right,
            false => {
                let pairs = self.right.iter_mut().zip(other.right);
                pairs.for_each(|(own, other)| *own += other);
            }
        }
        self.ids.extend(other.ids);
        self.skipped.extend(other.skipped);
    }
}

/// Adds tensors; a shard without clips has none.
fn add_all(own: &mut Vec<Vec<f32>>, others: Vec<Vec<f32>>) {
    if own.is_empty() {
        *own = others;
        return;
    }
    for (own, other) in own.iter_mut().zip(others) {
        own.iter_mut().zip(other).for_each(|(own, v)| *own += v);
    }
}

/// A node of the tree: the sum of the shards `first..first + count`.
#[derive(Debug, Clone, PartialEq)]
pub struct Node<T> {
    pub first: usize,
    pub count: usize,
    pub sum: T,
}

/// The largest nodes over the shards so far, neighbours from the left to the right.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree<T>(Vec<Node<T>>);

impl<T> Default for Tree<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Add> Tree<T> {
    /// Takes the sum of the shard, or of the node, that follows.
    pub fn push(&mut self, node: Node<T>) {
        self.0.push(node);
        while let [.., left, right] = self.0.as_slice()
            && left.count == right.count
            && left.first.is_multiple_of(2 * left.count)
        {
            self.join();
        }
    }

    /// The nodes: one where all shards of a whole subtree are there.
    pub fn nodes(self) -> Vec<Node<T>> {
        self.0
    }

    /// The sum over all shards; `None` where there are none.
    pub fn finish(mut self) -> Option<T> {
        while self.0.len() > 1 {
            self.join();
        }
        self.0.pop().map(|node| node.sum)
    }

    /// Adds the last two.
    fn join(&mut self) {
        let (Some(right), Some(left)) = (self.0.pop(), self.0.last_mut()) else {
            return;
        };
        left.sum.add(right.sum);
        left.count += right.count;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A sum as it is written, with its brackets.
    impl Add for String {
        fn add(&mut self, other: Self) {
            *self = format!("({self}+{other})");
        }
    }

    fn shard(first: usize) -> Node<String> {
        Node {
            first,
            count: 1,
            sum: first.to_string(),
        }
    }

    fn tree(shards: std::ops::Range<usize>) -> Tree<String> {
        let mut tree = Tree::default();
        shards.for_each(|number| tree.push(shard(number)));
        tree
    }

    #[test]
    fn sums_are_a_binary_tree() {
        let written = |count| tree(0..count).finish();
        assert_eq!(written(0), None);
        assert_eq!(written(1).unwrap(), "0");
        assert_eq!(written(3).unwrap(), "((0+1)+2)");
        assert_eq!(written(4).unwrap(), "((0+1)+(2+3))");
        assert_eq!(written(7).unwrap(), "(((0+1)+(2+3))+((4+5)+6))");
    }

    proptest! {
        /// However the shards are shared out among ranks, the sum is bracketed alike.
        #[test]
        fn ranks_change_no_sum(count in 1usize..40, cuts in prop::collection::vec(0usize..40, 0..8)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(count)).collect();
            cuts.extend([0, count]);
            cuts.sort_unstable();
            let mut whole = Tree::default();
            for range in cuts.windows(2) {
                for node in tree(range[0]..range[1]).nodes() {
                    whole.push(node);
                }
            }
            prop_assert_eq!(whole.finish(), tree(0..count).finish());
        }
    }
}
