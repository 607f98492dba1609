//! What decisions cost: at 1,000, 100,000 and 1,000,000 profiles, for the discrete, the generic and the refused case; and
//! what such a class takes to build and to keep.
//!
//! `cargo bench -p saf`. Memory is what the allocator counts.

#![allow(missing_docs, clippy::print_stdout, reason = "criterion's macros make public items; a benchmark prints")]

#[path = "../../policies/benches/counting/mod.rs"]
mod counting;

use std::hint::black_box;
use std::sync::atomic::Ordering;
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use saf::{Access, Request, Saf, Userid};

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

/// A database of a site: a tenth of the profiles generic, two entries in each access list.
async fn site(folder: &std::path::Path, profiles: usize) -> Saf {
    let url = format!("sqlite:{}", folder.join(format!("{profiles}.db")).display());
    let ibmuser = Userid::parse("IBMUSER").expect("a user id");
    Saf::initialise(&url, &ibmuser).await.expect("a database");
    let pool = sqlx::SqlitePool::connect(&url).await.expect("the database");
    let mut change = pool.begin().await.expect("a transaction");
    for number in 0..500 {
        let id = format!("U{number}");
        let query = "INSERT INTO racf_users (userid, owner, default_group, created) VALUES ($1, 'IBMUSER', 'SYS1', '')";
        sqlx::query(query).bind(&id).execute(&mut *change).await.expect("a user");
        let query = "INSERT INTO racf_connects (userid, group_name, owner) VALUES ($1, 'SYS1', 'IBMUSER')";
        sqlx::query(query).bind(&id).execute(&mut *change).await.expect("a connect");
    }
    for number in 0..profiles {
        let generic = number % 10 == 0;
        let end = if generic { "**" } else { "PORT" };
        let name = format!("APP.DEPT{}.SERVICE{number}.{end}", number % 97);
        let query = "INSERT INTO racf_profiles (class, name, generic, uacc, owner, created) VALUES ('XFACILIT', $1, $2, 'NONE', 'IBMUSER', '')";
        sqlx::query(query).bind(&name).bind(generic).execute(&mut *change).await.expect("a profile");
        for (id, access) in [(format!("U{}", number % 500), "READ"), (format!("U{}", (number + 7) % 500), "UPDATE")] {
            let query =
                "INSERT INTO racf_access (class, name, generic, id, access) VALUES ('XFACILIT', $1, $2, $3, $4)";
            let query = sqlx::query(query).bind(&name).bind(generic).bind(id).bind(access);
            query.execute(&mut *change).await.expect("an entry");
        }
    }
    let query = "UPDATE racf_classes SET active = 1, generic = 1, raclist = 1 WHERE name = 'XFACILIT'";
    sqlx::query(query).execute(&mut *change).await.expect("the class");
    change.commit().await.expect("committed");
    pool.close().await;
    let (before, begun) = (counting::IN_USE.load(Ordering::Relaxed), Instant::now());
    let saf = Saf::open(&url).await.expect("the database");
    let (took, memory) = (begun.elapsed(), counting::IN_USE.load(Ordering::Relaxed) - before);
    println!("{profiles} profiles: read and built in {took:.2?}, {} bytes each", memory / profiles);
    saf
}

fn decisions(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::TempDir::new().expect("a folder");
    for profiles in [1_000, 100_000, 1_000_000] {
        let saf = runtime.block_on(site(folder.path(), profiles));
        let snapshot = saf.snapshot();
        // Each decision asks for another resource, so that caches do as little as in life.
        let resources: Vec<(String, Userid)> = (0..4096_usize)
            .map(|at| {
                let number = (at * 244_140 + 1) % profiles;
                let user = Userid::parse(&format!("U{}", number % 500)).expect("a user id");
                (format!("APP.DEPT{}.SERVICE{number}.PORT", number % 97), user)
            })
            .collect();
        for (what, intent) in [("permitted", Access::Read), ("refused", Access::Alter)] {
            let mut asked = resources.iter().cycle();
            criterion.bench_function(&format!("{what}, {profiles} profiles"), |bencher| {
                bencher.iter(|| {
                    let (resource, user) = asked.next().expect("there are some");
                    black_box(snapshot.codes(&Request::new(*user, "XFACILIT", black_box(resource), intent)))
                });
            });
        }
    }
}

criterion_group!(benches, decisions);
criterion_main!(benches);
