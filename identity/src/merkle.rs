//! The Merkle tree of RFC 6962 section 2.1 over the lines of evidence: its head stands in the attestation, so that one line can
//! be shown to belong to a signed report without the others.
//!
//! ```text
//! leaf = SHA-256(0x00 line)   node = SHA-256(0x01 left right)   left = the largest power of two below the count
//! ```

use sha2::{Digest as _, Sha256};

/// The hash of a leaf or a node, or a tree head.
pub type Hash = [u8; 32];

/// The hash of one leaf: of one line without its line feed.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new()
        .chain_update([LEAF])
        .chain_update(leaf)
        .finalize()
        .into()
}

/// The tree head over leaf hashes.
pub fn tree_head(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node_hash(&tree_head(left), &tree_head(right))
        }
    }
}

/// The audit path of the leaf at `index` (RFC 6962 section 2.1.1), from the leaf upward; `None` if there is no such leaf.
pub fn inclusion_proof(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    if index >= leaves.len() {
        return None;
    }
    let mut path = Vec::new();
    let (mut rest, mut index) = (leaves, index);
    while rest.len() > 1 {
        let (left, right) = rest.split_at(split(rest.len()));
        if index < left.len() {
            path.push(tree_head(right));
            rest = left;
        } else {
            path.push(tree_head(left));
            index -= left.len();
            rest = right;
        }
    }
    path.reverse();
    Some(path)
}

/// Whether `path` proves that `leaf` stands at `index` among `count` leaves under `head` (RFC 9162 section 2.1.3.2).
pub fn proves_inclusion(leaf: &Hash, index: usize, count: usize, path: &[Hash], head: &Hash) -> bool {
    if index >= count {
        return false;
    }
    let (mut position, mut last) = (index, count - 1);
    let mut hash = *leaf;
    for sibling in path {
        if last == 0 {
            return false;
        }
        if position % 2 == 1 || position == last {
            hash = node_hash(sibling, &hash);
            // The last of an odd level has no sibling there: it rises until it is a right child.
            while position.is_multiple_of(2) && position != 0 {
                position /= 2;
                last /= 2;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        position /= 2;
        last /= 2;
    }
    last == 0 && hash == *head
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new()
        .chain_update([NODE])
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

/// The largest power of two below `count`, which is at least 2.
fn split(count: usize) -> usize {
    count.next_power_of_two() / 2
}

/// Put before a leaf, so that no leaf can be taken for a node.
const LEAF: u8 = 0;

/// Put before a node.
const NODE: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;

    /// The eight leaves that implementations of Certificate Transparency test with.
    fn leaves() -> Vec<Hash> {
        let leaves: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        leaves.iter().map(|leaf| leaf_hash(leaf)).collect()
    }

    #[test]
    fn tree_heads_are_those_of_certificate_transparency() {
        let heads = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        for (count, head) in heads.iter().enumerate() {
            assert_eq!(
                hex::encode(&tree_head(&leaves()[..count])),
                *head,
                "{count} leaves"
            );
        }
    }

    #[test]
    fn every_leaf_of_every_small_tree_is_proven_and_only_at_its_place() {
        for count in 1..=8 {
            let leaves = &leaves()[..count];
            let head = tree_head(leaves);
            for index in 0..count {
                let path = inclusion_proof(leaves, index).unwrap();
                for place in 0..count {
                    let proven = proves_inclusion(&leaves[index], place, count, &path, &head);
                    assert_eq!(proven, place == index, "leaf {index} of {count} at {place}");
                }
            }
        }
    }

    #[test]
    fn a_changed_path_or_head_proves_nothing() {
        let leaves = leaves();
        let head = tree_head(&leaves);
        let path = inclusion_proof(&leaves, 5).unwrap();
        for at in 0..path.len() {
            let mut changed = path.clone();
            changed[at][0] ^= 1;
            assert!(!proves_inclusion(&leaves[5], 5, 8, &changed, &head));
        }
        assert!(!proves_inclusion(&leaves[5], 5, 8, &path[..2], &head));
        assert!(!proves_inclusion(
            &leaves[5],
            5,
            8,
            &[path.clone(), vec![head]].concat(),
            &head
        ));
        assert!(!proves_inclusion(&leaves[5], 5, 8, &path, &leaves[0]));
        assert_eq!(inclusion_proof(&leaves, 8), None);
    }
}
