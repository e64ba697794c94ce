//! Rules for the dashboards: readable panels, and only data sources that Grafana is provisioned with.

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
fn dashboards_load_without_manual_steps() {
    let mut faults = Faults::default();
    for Dashboard { file, json } in dashboards() {
        let mut must = |fine, fault: &str| faults.unless(fine, &file, fault);
        must(!text(&json["uid"]).is_empty(), "no uid");
        must(!text(&json["title"]).is_empty(), "no title");
        must(
            json["schemaVersion"].as_u64() >= Some(41),
            "schemaVersion below 41",
        );
        must(
            json.get("id").is_none(),
            "an id, which belongs to one Grafana's database",
        );
        must(
            json.get("__inputs").is_none(),
            "__inputs, which only the import dialog replaces",
        );
        must(json["graphTooltip"] == 1, "no shared crosshair");
        must(
            json["time"]["from"] == "now-5m",
            "the time range is not the last 5 minutes",
        );
        must(
            ["1s", "2s", "5s"].contains(&text(&json["refresh"])),
            "the refresh interval is not 1 s, 2 s or 5 s",
        );
    }
    faults.none();
}

#[test]
fn panels_have_titles_units_and_descriptions() {
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
                check_data_texts(panel, must);
            }
        }
    }
    faults.none();
}

fn check_data_texts(panel: &Value, mut must: impl FnMut(bool, &str)) {
    let field = &panel["fieldConfig"]["defaults"];
    must(!text(&panel["title"]).is_empty(), "no title");
    must(!text(&field["unit"]).is_empty(), "no unit");
    must(
        !text(&field["noValue"]).is_empty(),
        "no text for an empty result",
    );
    must(list(&panel["targets"]).count() > 0, "no query");
    for target in list(&panel["targets"]) {
        must(
            !text(&target["legendFormat"]).is_empty(),
            "a series without a name",
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

/// The UIDs of the provisioned data sources.
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

/// The initial values of the variables that select a data source, by `${variable}`.
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
fn the_service_dashboard_does_not_depend_on_the_lab() {
    let all = dashboards().into_iter();
    let mut service = all.filter(|dashboard| dashboard.file == "service.json");
    let text = service.next().unwrap().json.to_string();
    for ours in ["sync", "threadlab", "nginx", "job=", "irate4s"] {
        assert!(!text.contains(ours), "service.json contains {ours}");
    }
}

#[test]
fn panels_have_unique_ids_and_do_not_overlap() {
    let mut faults = Faults::default();
    for Dashboard { file, json } in dashboards() {
        let panels = panels(&json);
        let mut ids = BTreeSet::new();
        for (i, panel) in panels.iter().enumerate() {
            let mut must = |fine, fault: &str| faults.unless(fine, place(&file, panel), fault);
            let id = panel["id"].as_u64();
            must(
                id.is_some_and(|id| ids.insert(id)),
                "the id is missing or not unique",
            );
            let [x, _, w, h] = grid(panel);
            must(w > 0 && h > 0 && x + w <= 24, "not within the 24 columns");
            let later = panels.iter().skip(i + 1);
            must(
                !later
                    .into_iter()
                    .any(|other| overlap(grid(panel), grid(other))),
                "overlaps a later panel",
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

/// The colour of each state, in all panels.
const COLOURS: [(State, &str); 5] = [
    (State::Running, "#73BF69"),
    (State::Runnable, "#FADE2A"),
    (State::Blocked, "#F2495C"),
    (State::Awaiting, "#5794F2"),
    (State::Idle, "#8E8E8E"),
];

#[test]
fn a_state_has_the_same_colour_in_all_panels() {
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
                    format!("{name} does not have the colour {colour}"),
                );
            }
        }
    }
    assert!(drawn > 0, "no panel shows states");
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

/// The states for which a panel has a series: five of a thread, or three of a route.
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

#[test]
fn axes_and_series_say_what_they_show() {
    let mut faults = Faults::default();
    let (mut shares, mut logarithmic, mut replicas) = (0, 0, 0);
    for Dashboard { file, json } in dashboards() {
        for panel in panels(&json) {
            let field = &panel["fieldConfig"]["defaults"];
            let mut must = |fine, fault: &str| faults.unless(fine, place(&file, panel), fault);
            if panel["type"] == "timeseries" && field["unit"] == "percentunit" {
                shares += 1;
                must(
                    field["max"] == 1,
                    "a share whose axis does not end at 100 %",
                );
            }
            if field["custom"]["scaleDistribution"]["type"] == "log" {
                logarithmic += 1;
                let tick = &field["mappings"][0]["options"]["100"]["text"];
                must(tick == "100 s", "a tick of 1.67 mins instead of 100 s");
            }
            let by_size = |property: &&Value| property["id"] == "custom.pointSize";
            let overrides = list(&panel["fieldConfig"]["overrides"]);
            must(
                overrides
                    .flat_map(|one| list(&one["properties"]))
                    .find(by_size)
                    .is_none(),
                "series that only the size of their points tells apart",
            );
            for target in list(&panel["targets"]) {
                let (expr, name) = (text(&target["expr"]), text(&target["legendFormat"]));
                must(!expr.contains("\"none\""), "a series for nothing");
                if name.contains("{{instance}}") {
                    replicas += 1;
                    must(
                        name.contains("{{server}}") || panel["repeat"] == "server",
                        "a replica without the name of its server",
                    );
                }
            }
        }
    }
    assert!(shares > 5 && logarithmic > 5 && replicas > 5);
    faults.none();
}

#[test]
fn shares_in_tiles_contain_every_state() {
    let mut tiles = 0;
    let all = dashboards();
    for panel in all.iter().flat_map(|dashboard| panels(&dashboard.json)) {
        let expressions = list(&panel["targets"]).map(|target| text(&target["expr"]));
        let expressions: Vec<_> = expressions
            .filter(|e| e.contains("thread_state_seconds"))
            .collect();
        if panel["type"] != "stat" || expressions.is_empty() {
            continue;
        }
        tiles += 1;
        let all = expressions.join("\n");
        for state in State::ALL {
            let drawn = all.split(['"', '|']).any(|word| word == state.as_str());
            assert!(
                drawn,
                "{}: {} is left out",
                text(&panel["title"]),
                state.as_str()
            );
        }
    }
    assert_eq!(
        tiles, 2,
        "the home dashboard and that of a service have tiles"
    );
}
