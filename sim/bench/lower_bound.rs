//! The lower bound of a request's cost with sled, and the goals for it. Each number is the median over the rounds of
//! one run.

use crate::breakdown::Group;
use crate::compare::{BARE, HEARDBACK, Side};
use crate::measurement::{Load, Measured, median};
use crate::peers::{CEILING, POSTGRESQL, SQLITE};
use crate::post_cost::POSTS_PER_REQUEST;
use crate::write_cost::Backend;

/// The goal, as a share of the durable ceiling.
const CEILING_SHARE: f64 = 0.6;
/// The least connections for which there are goals.
const GOAL_CONNECTIONS: u32 = 32;

pub(crate) struct LowerBound<'a> {
    pub(crate) sides: &'a [Side],
    pub(crate) groups: &'a [Group],
    /// CPU µs, by round.
    pub(crate) signatures: &'a [f64],
    /// CPU µs, by round.
    pub(crate) posts: &'a [f64],
}

/// One column: a number of connections, and groups that they can fill.
struct Column<'a> {
    least: &'a LowerBound<'a>,
    load: Load,
    group: &'a Group,
}

impl<'a> LowerBound<'a> {
    pub(crate) fn print(&'a self, loads: &[Load]) {
        let columns = self.columns(loads);
        let heads = columns
            .iter()
            .map(|column| format!("connections: {}, groups of {}", column.load, column.group.size));
        println!("\n| CPU µs a request | {} |", heads.collect::<Vec<_>>().join(" | "));
        println!("| --- |{}", " ---: |".repeat(columns.len()));
        for (name, cell) in ROWS {
            let cells: Vec<_> = columns.iter().map(cell).collect();
            if cells.iter().any(|cell| cell != NOTHING) {
                println!("| {name} | {} |", cells.join(" | "));
            }
        }
    }

    /// A group belongs to the fewest connections that can fill it.
    fn columns(&'a self, loads: &[Load]) -> Vec<Column<'a>> {
        let fits = |group: &Group, load: Load| group.size <= load.connections();
        let belongs = |group: &Group, load: Load| {
            fits(group, load)
                && !loads
                    .iter()
                    .any(|fewer| fewer.connections() < load.connections() && fits(group, *fewer))
        };
        let of = |load: Load| {
            let groups = self.groups.iter().filter(move |group| belongs(group, load));
            groups.map(move |group| Column { least: self, load, group })
        };
        loads.iter().copied().flat_map(of).collect()
    }
}

const NOTHING: &str = "-";

type Cell = fn(&Column<'_>) -> String;

const ROWS: [(&str, Cell); 18] = [
    ("HTTP: the bare server", |column| column.say(1, |round| column.http(round))),
    ("entries a request, counted, those of its report included", |column| {
        column.say(2, |round| column.entries(round))
    }),
    ("sled: so many entries, in such groups", |column| column.say(1, |round| column.sled(round))),
    ("a signature of this traffic", |column| column.say(1, |round| column.signature(round))),
    ("**the least with sled**, without matching and without a post", |column| {
        column.say(1, |round| column.least(round))
    }),
    ("two posts to Twilio for each ten requests, by the client alone", |column| {
        column.say(1, |round| column.posts(round))
    }),
    ("**the least with sled and these**, without matching", |column| {
        column.say(1, |round| column.reporting(round))
    }),
    ("the same with a plain file instead of sled", |column| {
        column.say(1, |round| column.with(Backend::File, round))
    }),
    ("Heardback, with the posts", |column| {
        column.say(1, |round| Some(column.of(HEARDBACK, round)?.cpu))
    }),
    ("entries in a group of Heardback's", |column| {
        column.say(1, |round| Some(column.of(HEARDBACK, round)?.grouped))
    }),
    ("the durable ceiling", |column| column.say(1, |round| Some(column.of(CEILING, round)?.cpu))),
    ("the cost at 0.6 of it, by its CPU · by its requests/s", |column| {
        column.allowed(CEILING, CEILING_SHARE)
    }),
    ("of the ceiling that the least reaches, by its CPU · by its requests/s", |column| {
        column.reached(CEILING, Column::least)
    }),
    ("and the least that reports, which the ceiling does not", |column| {
        column.reached(CEILING, Column::reporting)
    }),
    ("the cost at 15 × (20 × at 256) Express with SQLite", |column| {
        column.allowed(SQLITE, column.times())
    }),
    ("× Express with SQLite that the least reaches", |column| {
        column.reached(SQLITE, Column::least)
    }),
    ("the cost at 15 × (20 × at 256) Express with PostgreSQL", |column| {
        column.allowed(POSTGRESQL, column.times())
    }),
    ("× Express with PostgreSQL that the least reaches", |column| {
        column.reached(POSTGRESQL, Column::least)
    }),
];

impl Column<'_> {
    fn of(&self, name: &str, round: usize) -> Option<&Measured> {
        let is_it = |side: &&Side| side.name == name && side.load == self.load;
        self.least.sides.iter().find(is_it)?.rounds.get(round)
    }

    fn http(&self, round: usize) -> Option<f64> {
        Some(self.of(BARE, round)?.cpu)
    }

    fn entries(&self, round: usize) -> Option<f64> {
        Some(self.of(HEARDBACK, round)?.entries)
    }

    fn signature(&self, round: usize) -> Option<f64> {
        self.least.signatures.get(round).copied()
    }

    fn writing(&self, backend: Backend, round: usize) -> Option<f64> {
        let mut all = Backend::ALL.iter().zip(&self.group.cpu);
        let an_entry = all.find(|(known, _)| **known == backend)?.1.get(round)?;
        Some(self.entries(round)? * an_entry)
    }

    fn sled(&self, round: usize) -> Option<f64> {
        self.writing(Backend::Sled, round)
    }

    fn with(&self, backend: Backend, round: usize) -> Option<f64> {
        Some(self.http(round)? + self.writing(backend, round)? + self.signature(round)?)
    }

    fn least(&self, round: usize) -> Option<f64> {
        self.with(Backend::Sled, round)
    }

    fn posts(&self, round: usize) -> Option<f64> {
        Some(POSTS_PER_REQUEST * self.least.posts.get(round)?)
    }

    fn reporting(&self, round: usize) -> Option<f64> {
        Some(self.least(round)? + self.posts(round)?)
    }

    /// The goal, as a multiple of Express.
    fn times(&self) -> f64 {
        if self.load.connections() > GOAL_CONNECTIONS { 20.0 } else { 15.0 }
    }

    /// The cost of a request at which the rate is this many times the other side's: by its CPU, and by its requests per
    /// second.
    fn allowed(&self, name: &str, times: f64) -> String {
        let cpu = self.say(1, |round| Some(self.goal(name, round)?.cpu / times));
        let rate = self.say(1, |round| Some(1e6 / (self.goal(name, round)?.rate * times)));
        both(&cpu, &rate)
    }

    /// The rate at a lower bound, as a multiple of the other side's.
    fn reached(&self, name: &str, least: impl Fn(&Self, usize) -> Option<f64>) -> String {
        let cpu = self.say(2, |round| Some(self.goal(name, round)?.cpu / least(self, round)?));
        let rate = |round| Some(1e6 / least(self, round)? / self.goal(name, round)?.rate);
        both(&cpu, &self.say(2, rate))
    }

    fn goal(&self, name: &str, round: usize) -> Option<&Measured> {
        if self.load.connections() < GOAL_CONNECTIONS { None } else { self.of(name, round) }
    }

    fn say(&self, places: usize, read: impl Fn(usize) -> Option<f64>) -> String {
        let known: Vec<_> = (0..self.least.signatures.len()).filter_map(read).collect();
        if known.is_empty() { NOTHING.to_owned() } else { format!("{:.places$}", median(known)) }
    }
}

fn both(cpu: &str, rate: &str) -> String {
    if cpu == NOTHING { NOTHING.to_owned() } else { format!("{cpu} · {rate}") }
}
