//! Room on the disk: what is not pinned goes when space is short, the longest unused first; what is pinned never goes.

use classroom_protocol::Millis;

/// Something that takes room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its number.
    pub id: i64,
    /// Bytes that it takes, or will take when its fill is done.
    pub bytes: u64,
    /// A teacher has pinned it, or it was uploaded: it can't be had again by itself.
    pub pinned: bool,
    /// Someone reads it now.
    pub in_use: bool,
    /// When it was last opened.
    pub used_at: Millis,
}

/// How much the library may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole library.
    pub most: u64,
    /// Bytes that stay free on the disk for everything else of the box.
    pub keep_free: u64,
}

/// There is no room, even if everything that may go went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRoom {
    /// Bytes that are missing.
    pub missing: u64,
}

/// Which tenants go so that `need` more bytes fit. `free` is what the disk has free now.
///
/// # Errors
/// [`NoRoom`] when they do not fit anyhow; then nothing goes.
pub fn make_room(tenants: &[Tenant], need: u64, free: u64, limits: Limits) -> Result<Vec<i64>, NoRoom> {
    let taken: u64 = tenants.iter().map(|tenant| tenant.bytes).sum();
    let over = (taken.saturating_add(need)).saturating_sub(limits.most);
    let short = need.saturating_add(limits.keep_free).saturating_sub(free);
    let mut missing = over.max(short);
    let mut may_go: Vec<&Tenant> = tenants.iter().filter(|tenant| !tenant.pinned && !tenant.in_use).collect();
    may_go.sort_by_key(|tenant| (tenant.used_at, tenant.id));
    let mut goes = Vec::new();
    for tenant in may_go {
        if missing == 0 {
            break;
        }
        missing = missing.saturating_sub(tenant.bytes);
        goes.push(tenant.id);
    }
    if missing > 0 { Err(NoRoom { missing }) } else { Ok(goes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { most: 100, keep_free: 10 };

    fn tenant(id: i64, bytes: u64, pinned: bool, used_at: u64) -> Tenant {
        Tenant { id, bytes, pinned, in_use: false, used_at }
    }

    #[test]
    fn the_longest_unused_goes_first() {
        let all = [tenant(1, 40, true, 0), tenant(2, 30, false, 9), tenant(3, 20, false, 5)];
        assert_eq!(make_room(&all, 10, 1000, LIMITS), Ok(vec![]));
        assert_eq!(make_room(&all, 20, 1000, LIMITS), Ok(vec![3]));
        assert_eq!(make_room(&all, 60, 1000, LIMITS), Ok(vec![3, 2]));
        assert_eq!(make_room(&all, 61, 1000, LIMITS), Err(NoRoom { missing: 1 }));
        // The disk is nearly full of other things.
        assert_eq!(make_room(&all, 5, 5, LIMITS), Ok(vec![3]));
        let busy = [Tenant { in_use: true, ..tenant(3, 95, false, 5) }];
        assert_eq!(make_room(&busy, 10, 1000, LIMITS), Err(NoRoom { missing: 5 }));
    }

    proptest! {
        #[test]
        fn pinned_never_goes(
            all in prop::collection::vec((0u64..50, any::<bool>(), any::<bool>(), 0u64..9), 0..12),
            need in 0u64..200, free in 0u64..200,
        ) {
            let all: Vec<Tenant> = all.into_iter().zip(1..).map(|((bytes, pinned, in_use, used_at), id)| {
                Tenant { id, bytes, pinned, in_use, used_at }
            }).collect();
            if let Ok(goes) = make_room(&all, need, free, LIMITS) {
                let gone = |tenant: &&Tenant| goes.contains(&tenant.id);
                prop_assert!(all.iter().filter(gone).all(|tenant| !tenant.pinned && !tenant.in_use));
                let freed: u64 = all.iter().filter(gone).map(|tenant| tenant.bytes).sum();
                let taken: u64 = all.iter().map(|tenant| tenant.bytes).sum();
                prop_assert!(taken - freed + need <= LIMITS.most || need == 0);
                prop_assert!(free + freed >= need + LIMITS.keep_free || need + LIMITS.keep_free <= free);
            }
        }
    }
}
