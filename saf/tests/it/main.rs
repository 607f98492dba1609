//! Commands against real databases, SQLite's and PostgreSQL's, and the decisions that follow.

mod commands;
mod damage;
mod engine;
mod rows;
mod unload;

use std::future::Future;

use engine::Database;

/// Runs a test on both engines.
async fn on_both<F: Future<Output = ()>>(test: impl Fn(Database) -> F) {
    test(Database::sqlite().await).await;
    test(Database::postgres().await).await;
}
