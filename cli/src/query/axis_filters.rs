//! Finds the part of a filter that depends on axes alone, and thus selects partitions without opening their files.

use datafusion::common::tree_node::TreeNode;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

/// Returns the condition on axes that `filter` implies; `None` if it implies none.
pub(super) fn implied_axis_filter(schema: &TableSchema, filter: &Expr) -> Option<Expr> {
    if depends_only_on_axes(schema, filter) {
        return Some(filter.clone());
    }
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            match (implied_axis_filter(schema, left), implied_axis_filter(schema, right)) {
                (Some(left), Some(right)) => Some(left.and(right)),
                (left, right) => left.or(right),
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            Some(implied_axis_filter(schema, left)?.or(implied_axis_filter(schema, right)?))
        }
        _ => None,
    }
}

/// Checks whether the value of `filter` follows from the axis values of a partition alone.
pub(super) fn depends_only_on_axes(schema: &TableSchema, filter: &Expr) -> bool {
    let axes = schema.table_partition_cols();
    let columns = filter.column_refs();
    let is_unknown = |expr: &Expr| {
        matches!(
            expr,
            Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
                | Expr::SetComparison(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::Placeholder(_)
        )
    };
    !columns.is_empty()
        && columns.iter().all(|column| axes.iter().any(|axis| *axis.name() == column.name))
        && !filter.is_volatile()
        && !filter.exists(|expr| Ok(is_unknown(expr))).unwrap_or(true)
}
