//! The labels of a PromQL expression's result, from those of the series that it reads.
//!
//! This finds errors that a parser does not: a series or label that does not exist, a label that an aggregation has
//! dropped, two sides of an operator that can never match.

use std::collections::{BTreeMap, BTreeSet};

use promql_parser::{
    label::{MatchOp, Matcher},
    parser::{
        AggregateExpr, BinaryExpr, Call, Expr, LabelModifier, VectorMatchCardinality,
        VectorSelector,
        token::{T_BOTTOMK, T_LAND, T_LOR, T_LUNLESS, T_TOPK},
        value::ValueType,
    },
};

/// Label names.
pub(crate) type Labels = BTreeSet<String>;

/// For each series its labels, and for each label its possible values, if they are known.
pub(crate) type Series = BTreeMap<String, BTreeMap<String, Option<Vec<String>>>>;

/// Returns the labels of the result of `expr`, or a description of an error in it.
pub(crate) fn labels(expr: &Expr, series: &Series) -> Result<Labels, String> {
    match expr {
        Expr::VectorSelector(selector) => selected(selector, series),
        Expr::MatrixSelector(selector) => selected(&selector.vs, series),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => Ok(Labels::new()),
        Expr::Paren(inner) => labels(&inner.expr, series),
        Expr::Unary(inner) => labels(&inner.expr, series),
        Expr::Subquery(inner) => labels(&inner.expr, series),
        Expr::Aggregate(aggregate) => aggregated(aggregate, series),
        Expr::Binary(binary) => combined(binary, series),
        Expr::Call(call) => called(call, series),
        Expr::Extension(_) => Err("an unknown extension of PromQL".to_owned()),
    }
}

fn selected(selector: &VectorSelector, series: &Series) -> Result<Labels, String> {
    let name = selector
        .name
        .as_deref()
        .ok_or("a selector without a metric name")?;
    let known = series
        .get(name)
        .ok_or_else(|| format!("{name} is neither exported nor recorded"))?;
    for Matcher {
        name: label, value, ..
    } in &selector.matchers.matchers
    {
        let values = known
            .get(label)
            .ok_or_else(|| format!("{name} has no label {label}"))?;
        // The regular expressions in our queries are lists of values, or match all values.
        let exists = |v: &str| {
            v == ".*"
                || values
                    .as_ref()
                    .is_none_or(|values| values.iter().any(|known| known == v))
        };
        if let Some(unknown) = value.split('|').find(|v| !exists(v)) {
            return Err(format!("{name} has no {label}=\"{unknown}\""));
        }
    }
    Ok(known.keys().cloned().collect())
}

fn aggregated(aggregate: &AggregateExpr, series: &Series) -> Result<Labels, String> {
    let inner = labels(&aggregate.expr, series)?;
    let named = aggregate
        .modifier
        .as_ref()
        .map(|modifier| names(modifier.labels()))
        .unwrap_or_default();
    contains(&inner, &named, &aggregate.expr)?;
    Ok(match aggregate.modifier {
        _ if [T_TOPK, T_BOTTOMK].contains(&aggregate.op.id()) => inner,
        Some(LabelModifier::Exclude(_)) => &inner - &named,
        Some(LabelModifier::Include(_)) | None => named,
    })
}

fn combined(binary: &BinaryExpr, series: &Series) -> Result<Labels, String> {
    let (left, right) = (labels(&binary.lhs, series)?, labels(&binary.rhs, series)?);
    if binary.lhs.value_type() == ValueType::Scalar {
        return Ok(right);
    }
    if binary.rhs.value_type() == ValueType::Scalar {
        return Ok(left);
    }
    let matched = matched(binary, &left, &right)?;
    match binary.op.id() {
        T_LOR => return Ok(&left | &right),
        T_LAND | T_LUNLESS => return Ok(left),
        _ => {}
    }
    match binary.modifier.as_ref().map(|modifier| &modifier.card) {
        Some(VectorMatchCardinality::ManyToOne(extra)) => {
            contains(&right, &names(extra), &binary.rhs)?;
            Ok(&left | &names(extra))
        }
        Some(VectorMatchCardinality::OneToMany(extra)) => {
            contains(&left, &names(extra), &binary.lhs)?;
            Ok(&right | &names(extra))
        }
        _ => Ok(matched),
    }
}

/// Returns the labels by which the two sides are matched.
fn matched(binary: &BinaryExpr, left: &Labels, right: &Labels) -> Result<Labels, String> {
    match binary
        .modifier
        .as_ref()
        .and_then(|modifier| modifier.matching.as_ref())
    {
        Some(LabelModifier::Include(on)) => {
            let on = names(on);
            contains(left, &on, &binary.lhs)?;
            contains(right, &on, &binary.rhs)?;
            Ok(on)
        }
        ignoring => {
            let ignored = ignoring
                .map(|ignoring| names(ignoring.labels()))
                .unwrap_or_default();
            let (left, right) = (left - &ignored, right - &ignored);
            // `or` also keeps series that match nothing.
            if left == right || binary.op.id() == T_LOR {
                Ok(left)
            } else {
                Err(format!(
                    "two sides that never match: {left:?} and {right:?} in {binary}"
                ))
            }
        }
    }
}

fn called(call: &Call, series: &Series) -> Result<Labels, String> {
    let arguments = &call.args.args;
    if let ("absent", [vector]) = (call.func.name, arguments.as_slice()) {
        labels(vector, series)?;
        return Ok(equal(vector));
    }
    let mut of_vectors = Labels::new();
    for argument in arguments {
        of_vectors.append(&mut labels(argument, series)?);
    }
    match (call.func.name, arguments.get(1).map(AsRef::as_ref)) {
        ("histogram_quantile", Some(histogram)) => {
            contains(&of_vectors, &Labels::from(["le".to_owned()]), histogram)?;
            of_vectors.remove("le");
        }
        ("label_replace" | "label_join", Some(Expr::StringLiteral(destination))) => {
            of_vectors.insert(destination.val.clone());
        }
        _ => {}
    }
    Ok(of_vectors)
}

/// Returns the labels with an equality matcher in a selector, which are the labels of the result of `absent`.
fn equal(selector: &Expr) -> Labels {
    let Expr::VectorSelector(selector) = selector else {
        return Labels::new();
    };
    let matchers = selector.matchers.matchers.iter();
    matchers
        .filter(|m| m.op == MatchOp::Equal)
        .map(|m| m.name.clone())
        .collect()
}

fn contains(has: &Labels, wanted: &Labels, of: &Expr) -> Result<(), String> {
    match wanted.difference(has).next() {
        Some(missing) => Err(format!("no label {missing} in {of}")),
        None => Ok(()),
    }
}

fn names(labels: &promql_parser::label::Labels) -> Labels {
    labels.labels.iter().cloned().collect()
}
