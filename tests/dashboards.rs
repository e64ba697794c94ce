//! The dashboards, held to what makes a panel readable and to what Grafana is given.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;
use thread_states::State;

mod common {
    pub(crate) mod dashboards;
    pub(crate) mod faults;
}
use common::{
    dashboards::{Dashboard, dashboards, files, list, panels, text, yaml},
    faults::Faults,
};

#[test]
fn dashboards_load_without_a_hand() {
    let mut faults = Faults::default();
    for Dashboard { file, json } in dashboards() {
        let mut must = |fine, fault: &str| faults.unless(fine, &file, fault);
        must(!text(&json["uid"]).is_empty(), "no uid");
        must(!text(&json["title"]).is_empty(), "no title");
        must(
            json["schemaVersion"].as_u64() >= Some(41),
            "schemaVersion below 41",
        );
        must(json.get("id").is_none(), "the id of some database");
        must(
            json.get("__inputs").is_none(),
            "__inputs, which only the import dialog fills",
        );
        must(json["graphTooltip"] == 1, "no shared crosshair");
        must(
            json["time"]["from"] == "now-5m",
            "does not show the last 5 minutes",
        );
        must(
            ["1s", "2s", "5s"].contains(&text(&json["refresh"])),
            "refresh is not 1 s to 5 s",
        );
    }
    faults.none();
}

#[test]
fn panels_explain_themselves() {
    let mut faults = Faults::default();
    for Dashboard { file, json } in dashboards() {
        for panel in panels(&json) {
            let mut must = |fine, fault: &str| faults.unless(fine, place(&file, panel), fault);
            if panel["type"] == "row" {
                must(!text(&panel["title"]).is_empty(), "no title");
                continue;
            }
            must(text(&panel["description"]).len() > 10, "no description");
            if panel["type"] != "text" {
                explains_its_data(panel, must);
            }
        }
    }
    faults.none();
}

fn explains_its_data(panel: &Value, mut must: impl FnMut(bool, &str)) {
    let field = &panel["fieldConfig"]["defaults"];
    must(!text(&panel["title"]).is_empty(), "no title");
    must(!text(&field["unit"]).is_empty(), "no unit");
    must(
        !text(&field["noValue"]).is_empty(),
        "does not say what its being empty means",
    );
    must(list(&panel["targets"]).count() > 0, "no query");
    for target in list(&panel["targets"]) {
        must(
            !text(&target["legendFormat"]).is_empty(),
            "series without a name",
        );
    }
}

#[test]
fn data_sources_are_provisioned() {
    let provisioned = provisioned_data_sources();
    let mut faults = Faults::default();
    for Dashboard { file, json } in dashboards() {
        let chosen = chosen_data_sources(&json);
        let mut uids = Vec::new();
        collect_data_sources(&json, &mut uids);
        for uid in uids {
            let uid = chosen.get(uid).copied().unwrap_or(uid);
            faults.unless(
                provisioned.contains(uid),
                &file,
                format!("no data source has uid {uid}"),
            );
        }
        for panel in panels(&json)
            .into_iter()
            .filter(|panel| panel.get("targets").is_some())
        {
            faults.unless(
                panel["datasource"].is_object(),
                place(&file, panel),
                "no data source",
            );
        }
    }
    faults.none();
}

/// The uids of the data sources that Grafana is given.
fn provisioned_data_sources() -> BTreeSet<String> {
    #[derive(Deserialize)]
    struct File {
        datasources: Vec<DataSource>,
    }
    #[derive(Deserialize)]
    struct DataSource {
        uid: String,
    }
    let read = files("grafana/provisioning/datasources", "yml").into_iter();
    let sources = read.flat_map(|(file, text)| yaml::<File>(&file, &text).datasources);
    sources.map(|source| source.uid).collect()
}

/// What `${variable}` stands for at first, of the variables that choose a data source.
fn chosen_data_sources(dashboard: &Value) -> BTreeMap<String, &str> {
    list(&dashboard["templating"]["list"])
        .filter(|variable| variable["type"] == "datasource")
        .map(|v| {
            (
                format!("${{{}}}", text(&v["name"])),
                text(&v["current"]["value"]),
            )
        })
        .collect()
}

fn collect_data_sources<'a>(json: &'a Value, found: &mut Vec<&'a str>) {
    found.extend(json["datasource"]["uid"].as_str());
    match json {
        Value::Object(fields) => fields.values().for_each(|v| collect_data_sources(v, found)),
        Value::Array(values) => values.iter().for_each(|v| collect_data_sources(v, found)),
        _ => {}
    }
}

#[test]
fn the_dashboard_for_services_needs_nothing_of_this_lab() {
    let all = dashboards().into_iter();
    let mut service = all.filter(|dashboard| dashboard.file == "service.json");
    let text = service.next().unwrap().json.to_string();
    for ours in ["sync", "threadlab", "nginx", "job=", "irate4s"] {
        assert!(!text.contains(ours), "service.json speaks of {ours}");
    }
}

#[test]
fn panels_have_their_own_place_and_id() {
    let mut faults = Faults::default();
    for Dashboard { file, json } in dashboards() {
        let panels = panels(&json);
        let mut ids = BTreeSet::new();
        for (i, panel) in panels.iter().enumerate() {
            let mut must = |fine, fault: &str| faults.unless(fine, place(&file, panel), fault);
            let id = panel["id"].as_u64();
            must(
                id.is_some_and(|id| ids.insert(id)),
                "the id is missing or used twice",
            );
            let [x, _, w, h] = grid(panel);
            must(w > 0 && h > 0 && x + w <= 24, "leaves the 24 columns");
            let later = panels.iter().skip(i + 1);
            must(
                !later
                    .into_iter()
                    .any(|other| overlap(grid(panel), grid(other))),
                "overlaps a later one",
            );
        }
    }
    faults.none();
}

fn grid(panel: &Value) -> [u64; 4] {
    ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap_or_default())
}

fn overlap([ax, ay, aw, ah]: [u64; 4], [bx, by, bw, bh]: [u64; 4]) -> bool {
    ax < bx + bw && bx < ax + aw && ay < by + bh && by < ay + ah
}

/// The states' colours, the same wherever a state is drawn.
const COLOURS: [(State, &str); 5] = [
    (State::Running, "#73BF69"),
    (State::Runnable, "#FADE2A"),
    (State::Blocked, "#F2495C"),
    (State::Awaiting, "#5794F2"),
    (State::Idle, "#8E8E8E"),
];

#[test]
fn a_state_has_one_colour_everywhere() {
    let mut faults = Faults::default();
    let mut drawn = 0;
    for Dashboard { file, json } in dashboards() {
        for panel in panels(&json) {
            let given = colours(panel);
            let needed = states_drawn(panel);
            drawn += needed.len();
            for (state, colour) in COLOURS {
                let name = state.as_str();
                let fine = given
                    .get(name)
                    .map_or(!needed.contains(&state), |given| *given == colour);
                faults.unless(
                    fine,
                    place(&file, panel),
                    format!("{name} is not drawn in {colour}"),
                );
            }
        }
    }
    assert!(drawn > 0, "no panel draws states");
    faults.none();
}

/// The fixed colours of a panel's series and values, by name.
fn colours(panel: &Value) -> BTreeMap<&str, &str> {
    let field = &panel["fieldConfig"];
    let series = list(&field["overrides"]).map(|series| {
        let colour = &series["properties"][0]["value"]["fixedColor"];
        (text(&series["matcher"]["options"]), text(colour))
    });
    let values = list(&field["defaults"]["mappings"])
        .filter_map(|mapping| mapping["options"].as_object())
        .flat_map(|options| options.values())
        .map(|value| (text(&value["text"]), text(&value["color"])));
    series.chain(values).collect()
}

/// The states for which a panel has a series: all five of a thread, or the three of a route.
fn states_drawn(panel: &Value) -> Vec<State> {
    let by_state = |target: &&Value| text(&target["legendFormat"]).contains("{{state}}");
    match list(&panel["targets"]).find(by_state) {
        Some(target) if text(&target["expr"]).contains("thread_state") => State::ALL.to_vec(),
        Some(_) => vec![State::Running, State::Runnable, State::Blocked],
        None => Vec::new(),
    }
}

fn place(file: &str, panel: &Value) -> String {
    format!(
        "{file}: panel {} \"{}\"",
        panel["id"],
        text(&panel["title"])
    )
}
