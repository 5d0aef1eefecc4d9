//! `report.html` in a real browser: what opens on a click, what keys reach, what a link restores, what a screen reader finds,
//! what is printed, and that nothing leaves the page.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use plumbline_tests::{
    browser::Browser,
    gate,
    pages::{self, HOSTILE, Page},
};
use serde_json::{Value, json};

/// The bound for the page of 200 nodes.
const MOST_OCTETS: u64 = 5_000_000;

static SMALL: LazyLock<Page> = LazyLock::new(|| page("failed-3", pages::failed(3)));
static MIDDLE: LazyLock<Page> = LazyLock::new(|| page("failed-30", pages::failed(30)));
static LARGE: LazyLock<Page> = LazyLock::new(|| page("failed-200", pages::failed(200)));

/// The pages stay below the target folder, to be looked at.
fn page(name: &str, report: Value) -> Page {
    Page::of(Path::new(env!("CARGO_TARGET_TMPDIR")), name, report)
}

/// An element by id, as an expression.
fn id(id: &str) -> String {
    format!("document.getElementById('{id}')")
}

const PANEL: &str = "document.getElementById('panel-title')?.textContent";

#[test]
fn two_hundred_nodes_fit_into_the_page_and_are_no_elements() {
    if !gate::browser("two_hundred_nodes_fit_into_the_page_and_are_no_elements") {
        return;
    }
    assert!(LARGE.octets < MOST_OCTETS, "{} octets", LARGE.octets);
    let mut browser = Browser::start(1440, 900);
    browser.open(&LARGE.file, "");
    let elements = browser.number("document.querySelectorAll('*').length");
    assert!(elements < 20_000, "{elements} elements");
    // Assistive technology gets the cell that the keys point at, and no other.
    assert_eq!(
        browser.number("document.querySelectorAll('#heat [role=gridcell]').length"),
        1
    );
    assert_eq!(
        browser.text(&format!("{}.getAttribute('aria-colcount')", id("heat"))),
        "201"
    );
    // The canvas holds what is in sight, not forty thousand cells.
    assert!(browser.holds("document.querySelector('#heat canvas').width <= 1440"));
    browser.was_quiet();
}

#[test]
fn the_page_opens_with_the_verdict_and_the_worst_cause() {
    if !gate::browser("the_page_opens_with_the_verdict_and_the_worst_cause") {
        return;
    }
    let mut browser = Browser::start(1440, 900);
    for page in [&*SMALL, &*MIDDLE, &*LARGE] {
        browser.open(&page.file, "");
        for place in [
            "document.querySelector('.verdict')",
            "document.querySelector('#F1 h3')",
        ] {
            let bottom = format!("Math.round({place}.getBoundingClientRect().bottom)");
            assert!(browser.number(&bottom) < 900, "{place} is not in the first view");
        }
        assert_eq!(
            browser.text("document.querySelector('#causes .count').textContent"),
            "5 causes"
        );
        assert!(browser.holds("document.querySelector('#F5').closest('section').querySelector('#waived')"));
        assert!(
            browser
                .text("document.querySelector('#F5').textContent")
                .contains("team storage")
        );
        assert!(
            browser
                .text("document.querySelector('#F4').textContent")
                .contains("cluster.yaml:12:7")
        );
    }
    browser.was_quiet();
}

#[test]
fn a_click_on_a_cell_opens_the_pair_and_the_way_back_closes_it() {
    if !gate::browser("a_click_on_a_cell_opens_the_pair_and_the_way_back_closes_it") {
        return;
    }
    let mut browser = Browser::start(1440, 900);
    browser.open(&SMALL.file, "");
    browser.click("document.querySelector('#matrix a[href=\"#pair=10.0.0.1,10.0.0.2\"]')");
    assert_eq!(browser.text(PANEL), "10.0.0.1 → 10.0.0.2");
    let panel = browser.text(&format!("{}.textContent", id("panel")));
    assert!(
        panel.contains("rejected (ICMP 3/13 admin-prohibited from 10.0.0.2)"),
        "{panel}"
    );
    assert!(
        panel.contains("10.0.0.2 asks 10.0.0.1"),
        "both directions: {panel}"
    );
    assert!(panel.contains("firewalld zone public on 10.0.0.2"), "{panel}");
    assert!(panel.contains("5 lines of evidence.jsonl"), "{panel}");
    assert!(browser.text("location.hash").contains("pair=10.0.0.1,10.0.0.2"));
    browser.back();
    assert!(browser.holds("document.getElementById('panel').hidden"));
    browser.was_quiet();
}

#[test]
fn a_click_into_the_heat_map_opens_the_pair_under_the_pointer() {
    if !gate::browser("a_click_into_the_heat_map_opens_the_pair_under_the_pointer") {
        return;
    }
    let mut browser = Browser::start(1440, 900);
    for page in [&*MIDDLE, &*LARGE] {
        browser.open(&page.file, "#by=address");
        // The middle of the cell of the sixth source and the second destination, from what the map says of itself.
        let place = browser.eval(
            "(() => { const heat = document.getElementById('heat'); heat.scrollIntoView({ block: 'end', behavior: 'instant' }); \
             const box = heat.getBoundingClientRect(); const cell = Number(heat.dataset.cell), header = Number(heat.dataset.header); \
             return [box.x + 1 + header + 1.5 * cell, box.y + 1 + header + 5.5 * cell]; })()",
        );
        browser.click_at(&place[0], &place[1]);
        assert_eq!(browser.text(PANEL), "10.0.0.6 → 10.0.0.2");
    }
    browser.was_quiet();
}

#[test]
fn keys_alone_reach_a_failing_pair_and_its_evidence() {
    if !gate::browser("keys_alone_reach_a_failing_pair_and_its_evidence") {
        return;
    }
    let mut browser = Browser::start(1440, 900);
    browser.open(&LARGE.file, "");
    tab_to(&mut browser, "document.activeElement.id === 'heat'");
    browser.press("n");
    let active = "document.getElementById(document.getElementById('heat').getAttribute('aria-activedescendant')).textContent";
    let spoken = browser.text(active);
    assert!(
        spoken.contains("10.0.0.1 asks 10.0.0.2") && spoken.contains("wrong"),
        "{spoken}"
    );
    browser.press("ArrowRight");
    assert!(browser.text(active).contains("10.0.0.1 asks 10.0.0.3"));
    browser.press("ArrowLeft");
    browser.press("Enter");
    assert_eq!(browser.text(PANEL), "10.0.0.1 → 10.0.0.2");
    assert!(browser.holds("document.activeElement.id === 'panel-title'"));
    tab_to(
        &mut browser,
        "document.activeElement.textContent.includes('of evidence.jsonl')",
    );
    browser.press("Enter");
    assert!(browser.holds("document.activeElement.parentElement.open"));
    let command = browser.text("document.activeElement.parentElement.querySelector('code').textContent");
    assert!(command.contains("evidence.jsonl | jq"), "{command}");
    browser.press("Escape");
    assert!(browser.holds("document.getElementById('panel').hidden"));
    assert!(browser.holds("document.activeElement.id === 'heat'"));
    browser.was_quiet();
}

/// Presses the Tab key until something holds of what has the focus.
fn tab_to(browser: &mut Browser, wanted: &str) {
    for _ in 0..400 {
        if browser.holds(wanted) {
            return;
        }
        browser.press("Tab");
    }
    panic!("the Tab key never comes to where {wanted}");
}

#[test]
fn links_restore_what_they_were_taken_of() {
    if !gate::browser("links_restore_what_they_were_taken_of") {
        return;
    }
    let mut browser = Browser::start(1440, 900);
    let file = MIDDLE.file.clone();
    browser.open(
        &file,
        "#pair=10.0.0.5,10.0.0.3&q=rack=r0&by=label:rack&port=10250",
    );
    assert_eq!(browser.text(PANEL), "10.0.0.5 → 10.0.0.3");
    assert_eq!(browser.text(&format!("{}.value", id("by-q"))), "rack=r0");
    assert_eq!(browser.text(&format!("{}.value", id("by-by"))), "label:rack");
    assert_eq!(browser.text(&format!("{}.value", id("by-port"))), "10250");
    browser.open(&file, "#node-10.0.0.3");
    assert_eq!(browser.text(PANEL), "Node 10.0.0.3");
    browser.open(&file, "#F3");
    let top = browser.eval("document.getElementById('F3').getBoundingClientRect().top");
    assert!(
        top.as_f64().is_some_and(|top| (0.0..900.0).contains(&top)),
        "{top}"
    );
    browser.open(&file, "#pair=%ZZ,nobody&by=nothing&finding=F999&via=77&port=x");
    assert!(browser.holds("document.getElementById('panel').hidden"));
    browser.was_quiet();
}

#[test]
fn filters_narrow_down_and_say_how_much_is_left() {
    if !gate::browser("filters_narrow_down_and_say_how_much_is_left") {
        return;
    }
    let mut browser = Browser::start(1440, 900);
    browser.open(&MIDDLE.file, "");
    let pairs = "Number(document.getElementById('pairs-count').textContent.replace(',', ''))";
    let all = browser.number(pairs);
    browser.eval("document.getElementById('by-q').focus()");
    browser.write("10.0.0.2");
    assert!(browser.text("location.hash").contains("q=10.0.0.2"));
    let some = browser.number(pairs);
    assert!(some > 0 && some < all, "{some} of {all}");
    assert!(
        browser
            .text("document.getElementById('found').textContent")
            .contains(&format!("{some} pairs"))
    );
    browser.click(&id("clear"));
    assert_eq!(browser.number(pairs), all);
    // Everybody but itself is stopped at 10250/tcp of the second node; the last was not measured.
    let only = |browser: &mut Browser, fragment: &str| {
        browser.open(&MIDDLE.file, fragment);
        browser.number(pairs)
    };
    assert_eq!(only(&mut browser, "#finding=F1"), 28);
    assert_eq!(only(&mut browser, "#rule=w.kubelet&outcome=rejected"), 28);
    assert_eq!(only(&mut browser, "#port=10250&outcome=rejected"), 28);
    // What somebody answers for is no failure.
    assert_eq!(only(&mut browser, "#finding=F5"), 0);
    assert_eq!(only(&mut browser, "#all=1"), 30 * 29);
    browser.was_quiet();
}

#[test]
fn a_cause_is_shown_in_the_matrix() {
    if !gate::browser("a_cause_is_shown_in_the_matrix") {
        return;
    }
    let mut browser = Browser::start(1440, 900);
    browser.open(&SMALL.file, "");
    browser.click("document.querySelector('#F1 .actions button')");
    let bright = "[...document.querySelectorAll('#matrix td:not(.dim) a')].map((a) => a.hash).join(' ')";
    assert_eq!(
        browser.text(bright),
        "#pair=10.0.0.1,10.0.0.2 #pair=10.0.0.3,10.0.0.2"
    );
    browser.was_quiet();
}

#[test]
fn text_of_others_is_never_markup() {
    if !gate::browser("text_of_others_is_never_markup") {
        return;
    }
    let mut browser = Browser::start(1440, 900);
    browser.open(&MIDDLE.file, "#node-10.0.0.2");
    assert!(
        browser
            .text(&format!("{}.textContent", id("panel")))
            .contains(HOSTILE)
    );
    assert_eq!(browser.number("document.images.length"), 0);
    assert_eq!(browser.number("document.scripts.length"), 2);
    browser.eval("document.getElementById('heat').focus(); 1");
    browser.was_quiet();
}

#[test]
fn nobody_needs_a_mouse_or_eyes_or_daylight() {
    let Some(axe) = gate::axe("nobody_needs_a_mouse_or_eyes_or_daylight") else {
        return;
    };
    let axe = fs::read_to_string(axe).expect("axe-core reads");
    let mut browser = Browser::start(1440, 900);
    let hundred = page("hundred", pages::hundred());
    let views: [(PathBuf, &str); 7] = [
        (SMALL.file.clone(), ""),
        (SMALL.file.clone(), "#pair=10.0.0.1,10.0.0.2"),
        (MIDDLE.file.clone(), "#by=label:rack"),
        (MIDDLE.file.clone(), "#node-10.0.0.2"),
        (LARGE.file.clone(), "#pair=10.0.0.1,10.0.0.2&finding=F1"),
        (LARGE.file.clone(), "#all=1"),
        (hundred.file.clone(), "#F57"),
    ];
    for scheme in ["light", "dark"] {
        browser.media(scheme, "");
        for (file, fragment) in &views {
            browser.open(file, fragment);
            browser.eval(&axe);
            let found = browser.text(
                "axe.run(document, { preload: false, resultTypes: ['violations'] }).then(({ violations }) => violations \
                 .filter(({ impact }) => impact === 'serious' || impact === 'critical') \
                 .map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html }) => html.slice(0, 200)).join(' | ')}`).join('\\n'))",
            );
            assert!(found.is_empty(), "{scheme} {fragment}: {found}");
        }
    }
    browser.was_quiet();
}

#[test]
fn paper_has_the_verdict_the_fixes_and_the_pairs_but_no_controls() {
    if !gate::browser("paper_has_the_verdict_the_fixes_and_the_pairs_but_no_controls") {
        return;
    }
    let mut browser = Browser::start(1240, 1754);
    browser.open(&MIDDLE.file, "");
    browser.media("light", "print");
    let is_seen = |browser: &mut Browser, what: &str| {
        browser.holds(&format!(
            "document.querySelector('{what}').checkVisibility({{ contentVisibilityAuto: true }})"
        ))
    };
    for what in [
        ".verdict",
        "#F1 pre",
        "#F5",
        "#pairtable tbody tr",
        "#nodes",
        "#groups",
    ] {
        assert!(is_seen(&mut browser, what), "{what} is not on paper");
    }
    for what in ["#bar", "#tools", "#heat", ".copies", ".actions"] {
        assert!(!is_seen(&mut browser, what), "{what} is on paper");
    }
    assert!(browser.pdf() != json!(null));
    browser.was_quiet();
}

#[test]
fn colours_follow_the_reader_and_can_be_turned() {
    if !gate::browser("colours_follow_the_reader_and_can_be_turned") {
        return;
    }
    let mut browser = Browser::start(1440, 900);
    let background = "getComputedStyle(document.body).backgroundColor";
    browser.media("dark", "");
    browser.open(&SMALL.file, "");
    let dark = browser.text(background);
    browser.click("document.querySelector('#controls button')");
    let light = browser.text(background);
    assert_ne!(dark, light);
    browser.media("light", "");
    browser.open(&SMALL.file, "");
    assert_eq!(browser.text(background), light);
    browser.was_quiet();
}

#[test]
fn pages_of_other_verdicts_say_so() {
    if !gate::browser("pages_of_other_verdicts_say_so") {
        return;
    }
    let mut browser = Browser::start(1440, 900);
    let passed = page("passed", pages::passed(4));
    browser.open(&passed.file, "");
    assert!(
        browser
            .text("document.querySelector('main').textContent")
            .contains("Nothing was found.")
    );
    assert_eq!(
        browser.number("document.querySelectorAll('#matrix td.ok').length"),
        12
    );
    let incomplete = page("incomplete", pages::incomplete(4));
    browser.open(&incomplete.file, "");
    assert!(
        browser
            .text("document.querySelector('.verdict').textContent")
            .contains("INCOMPLETE")
    );
    assert_eq!(
        browser.number("document.querySelectorAll('#matrix td.gap').length"),
        12
    );
    browser.was_quiet();
}
