//! The cost of a request by its parts: bare HTTP, the load kit's servers, Heardback, writing, a signature, a post. All
//! are measured in the same rounds, so that their sum holds for one machine and one hour. Then the cost of opening.

use std::fs;

use crate::compare::{Bench, HEARDBACK};
use crate::lower_bound::LowerBound;
use crate::measurement::{Load, Plan};
use crate::open_cost;
use crate::peers::Kit;
use crate::post_cost;
use crate::signature_cost;
use crate::tables;
use crate::write_cost::{self, Backend};

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Breakdown {
    /// Messages in a measurement of writing
    #[arg(long, default_value_t = 100_000)]
    messages: u32,
    /// Messages in a group; the store closes a group at 128 entries
    #[arg(long, value_delimiter = ',', default_value = "1,32,128,170,256")]
    groups: Vec<u32>,
    /// Pending messages in the store that is opened
    #[arg(long, default_value_t = 1_000_000)]
    pending: u32,
    #[command(flatten)]
    kit: Kit,
    #[command(flatten)]
    plan: Plan,
}

/// The cost of writing in groups of one size, by [`Backend::ALL`] and then by round, in µs of CPU per message.
pub(crate) struct Group {
    pub(crate) size: u32,
    pub(crate) cpu: [Vec<f64>; 3],
}

impl Breakdown {
    pub(crate) fn measure(&self) -> anyhow::Result<()> {
        let Self { plan, .. } = self;
        let folder = &plan.place.folder;
        fs::create_dir_all(folder)?;
        let mut bench = Bench::of(plan, &[]);
        let group = |size: &u32| Group { size: *size, cpu: Backend::ALL.map(|_| Vec::new()) };
        let mut groups: Vec<_> = self.groups.iter().map(group).collect();
        let (mut signatures, mut reports) = (Vec::new(), Vec::new());
        for round in 1..=plan.rounds {
            eprintln!("round {round} of {}", plan.rounds);
            bench.bare()?;
            for (kit, name) in self.kit.each() {
                bench.peer(kit, name)?;
            }
            bench.heardback(HEARDBACK, &plan.place.binary, None)?;
            for group in &mut groups {
                for (backend, cpu) in Backend::ALL.into_iter().zip(&mut group.cpu) {
                    cpu.push(write_cost::measure(backend, group.size, self.messages, folder)?.cpu);
                }
            }
            signatures.push(signature_cost::measure(folder)?);
            reports.push(post_cost::measure(folder)?);
        }
        tables::sides(&bench.sides);
        tables::entries(&bench.sides);
        tables::groups(&groups);
        let closed: Vec<_> = plan.connections.iter().map(|count| Load::Closed(*count)).collect();
        let (signatures, posts) = (&signatures, &reports);
        LowerBound { sides: &bench.sides, groups: &groups, signatures, posts }.print(&closed);
        open_cost::measure(folder, self.pending, plan.rounds)
    }
}
