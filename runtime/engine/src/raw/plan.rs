//! Copy plans: what the canonical ABI says about a function's values, worked out once when the graph is built.
//!
//! A plan is made from our own types, so it depends on no instance; both sides of a link have structurally equal
//! types and share one plan. Sizes, alignments and the flat forms are those of 32-bit memories.

use station_model::{Function, Type};

/// Flat parameters that the canonical ABI passes as such; more are spilled to memory.
pub(super) const FLAT_PARAMS_MAX: usize = 16;
/// Flat results that the canonical ABI passes as such.
pub(super) const FLAT_RESULTS_MAX: usize = 1;

/// Fuel for each type in a signature that has handles: a unit is worth about a nanosecond.
const FUEL_PER_TYPE: u64 = 16;

/// How the values of one function move.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// All parameters, laid out as one record.
    pub(super) params: Node,
    /// The width of each flat parameter; none when they are spilled to memory.
    pub(super) flat_params: Option<Box<[Width]>>,
    pub(super) result: Option<Node>,
    /// The width of a result that is returned flat; none when there is none or it goes through memory.
    pub(super) flat_result: Option<Width>,
    /// True when the parameters are flat and every bit of them means itself: they may be passed on without a look.
    pub(super) params_are_words: bool,
    /// True when the result is.
    pub(super) result_is_word: bool,
    /// True when there is text somewhere, so that it matters how each side has it.
    pub(super) text: bool,
    /// True when parameters lead to memory: they are spilled, or have text or lists.
    pub(super) params_point: bool,
    /// True when the result is in memory, or leads there.
    pub(super) result_points: bool,
    /// True when the result is a `result`, so that its first byte says whether the call was refused.
    pub(super) refuses: bool,
    /// True when a handle is somewhere in the signature.
    pub(super) handles: bool,
    /// Fuel for looking through the types for handles, which each call does; none where there are none.
    pub(super) search_fuel: u64,
}

/// How wide a flat value is; the rest of its 64 bits says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    Half,
    Full,
}

/// One type.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) shape: Shape,
    /// Bytes in memory.
    pub(super) size: usize,
    pub(super) align: u32,
    /// True when every byte of it in memory means itself: it may be copied without a look.
    pub(super) plain: bool,
    /// How many flat values it has.
    pub(super) flats: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// An integer or a float of this many bytes.
    Number {
        bytes: u8,
        signed: bool,
    },
    Bool,
    Char,
    /// Words of flags, each with the bits that exist. Below 32 flags the word has the size of the node.
    Flags(Box<[u32]>),
    String,
    List(Box<Node>),
    /// A record or a tuple.
    Record(Box<[Field]>),
    /// A variant, an option, a result, or an enum.
    Variant(Variant),
    /// A handle: where it stands among the handle types of the parameters or of the result.
    Handle(usize),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) node: Node,
    /// Where it begins in memory.
    pub(super) at: usize,
    /// Which flat value is its first.
    pub(super) flat_at: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Variant {
    pub(super) tag_bytes: u8,
    /// Where the payload of any case begins in memory.
    pub(super) payload_at: usize,
    pub(super) cases: Box<[Option<Node>]>,
}

impl Plan {
    /// The plan of a function.
    ///
    /// # Errors
    /// The part of the signature that has no plan.
    pub(crate) fn of(function: &Function) -> Result<Self, String> {
        let mut maker = Maker::default();
        let params = maker.record(function.params.iter().map(|(_, ty)| ty))?;
        // Handles are numbered anew; nodes are not.
        maker.handles = 0;
        let result = function.result.as_ref().map(|ty| maker.node(ty)).transpose()?;
        let handles = function.types().any(Type::has_handles);
        let widths = |node: &Node| {
            let mut widths = Vec::new();
            node.widths(&mut widths);
            widths.into_boxed_slice()
        };
        Ok(Self {
            params_are_words: params.flats <= FLAT_PARAMS_MAX && params.is_words(),
            result_is_word: result.as_ref().is_some_and(|node| node.flats == FLAT_RESULTS_MAX && node.is_words()),
            text: params.has_text() || result.as_ref().is_some_and(Node::has_text),
            params_point: params.flats > FLAT_PARAMS_MAX || params.points(),
            result_points: result.as_ref().is_some_and(|node| node.flats > FLAT_RESULTS_MAX || node.points()),
            flat_params: (params.flats <= FLAT_PARAMS_MAX).then(|| widths(&params)),
            flat_result: result
                .as_ref()
                .filter(|node| node.flats <= FLAT_RESULTS_MAX)
                .and_then(|node| widths(node).first().copied()),
            params,
            result,
            refuses: matches!(function.result, Some(Type::Result(_))),
            handles,
            search_fuel: if handles { maker.nodes * FUEL_PER_TYPE } else { 0 },
        })
    }

    /// Flat parameters that a call has; none when it has a pointer to them.
    pub(crate) fn flat_count(&self) -> Option<usize> {
        self.flat_params.as_ref().map(|widths| widths.len())
    }

    /// How many flat values the callee takes, and whether it gives one back.
    pub(super) fn callee_shape(&self) -> (usize, bool) {
        (self.flat_count().unwrap_or(1), self.result.is_some())
    }
}

impl Node {
    /// True when all flat values are numbers that fill them.
    fn is_words(&self) -> bool {
        match &self.shape {
            Shape::Number { bytes, .. } => *bytes >= 4,
            Shape::Record(fields) => fields.iter().all(|field| field.node.is_words()),
            _ => false,
        }
    }

    fn has_text(&self) -> bool {
        match &self.shape {
            Shape::String => true,
            Shape::List(element) => element.has_text(),
            Shape::Record(fields) => fields.iter().any(|field| field.node.has_text()),
            Shape::Variant(variant) => variant.cases.iter().flatten().any(Self::has_text),
            _ => false,
        }
    }

    /// True when a value leads to other places in memory.
    fn points(&self) -> bool {
        match &self.shape {
            Shape::String | Shape::List(_) => true,
            Shape::Record(fields) => fields.iter().any(|field| field.node.points()),
            Shape::Variant(variant) => variant.cases.iter().flatten().any(Self::points),
            _ => false,
        }
    }

    /// Appends the width of each flat value.
    fn widths(&self, to: &mut Vec<Width>) {
        match &self.shape {
            Shape::Number { bytes: 8, .. } => to.push(Width::Full),
            Shape::Number { .. } | Shape::Bool | Shape::Char | Shape::Handle(_) => to.push(Width::Half),
            Shape::Flags(words) => to.extend(words.iter().map(|_| Width::Half)),
            Shape::String | Shape::List(_) => to.extend([Width::Half; 2]),
            Shape::Record(fields) => fields.iter().for_each(|field| field.node.widths(to)),
            Shape::Variant(variant) => {
                to.push(Width::Half);
                to.extend(variant.payload_widths());
            }
        }
    }
}

impl Variant {
    /// The payloads of all cases share their flat places; a place is as wide as the widest that uses it.
    fn payload_widths(&self) -> Vec<Width> {
        let mut joined: Vec<Width> = Vec::new();
        for node in self.cases.iter().flatten() {
            let mut widths = Vec::new();
            node.widths(&mut widths);
            for (at, width) in widths.into_iter().enumerate() {
                match joined.get_mut(at) {
                    Some(place) if width == Width::Full => *place = width,
                    Some(_) => (),
                    None => joined.push(width),
                }
            }
        }
        joined
    }
}

/// Makes nodes and numbers the handles.
#[derive(Default)]
struct Maker {
    handles: usize,
    nodes: u64,
}

impl Maker {
    fn node(&mut self, ty: &Type) -> Result<Node, String> {
        self.nodes += 1;
        Ok(match ty {
            Type::U8 => number(1, false),
            Type::S8 => number(1, true),
            Type::U16 => number(2, false),
            Type::S16 => number(2, true),
            Type::U32 | Type::F32 => number(4, false),
            Type::S32 => number(4, true),
            Type::U64 | Type::S64 | Type::F64 => number(8, false),
            Type::Bool => leaf(Shape::Bool, 1, 1),
            Type::Char => leaf(Shape::Char, 4, 1),
            Type::String => Node { align: 4, ..leaf(Shape::String, 8, 2) },
            Type::List(inner) => Node { align: 4, ..leaf(Shape::List(Box::new(self.node(inner)?)), 8, 2) },
            Type::Record(fields) => self.record(fields.iter().map(|(_, ty)| ty))?,
            Type::Tuple(types) => self.record(types.iter())?,
            Type::Variant(cases) => self.variant(cases.iter().map(|(_, ty)| ty.as_ref()))?,
            Type::Enum(names) => self.variant(names.iter().map(|_| None))?,
            Type::Option(inner) => self.variant([None, Some(&**inner)].into_iter())?,
            Type::Result(types) => self.variant([types.0.as_ref(), types.1.as_ref()].into_iter())?,
            Type::Flags(names) => flags(names.len()),
            Type::Own(_) | Type::Borrow(_) => {
                self.handles += 1;
                leaf(Shape::Handle(self.handles - 1), 4, 1)
            }
            Type::Unsupported(what) => return Err(format!("there is no plan for {what}")),
        })
    }

    fn record<'t>(&mut self, types: impl Iterator<Item = &'t Type>) -> Result<Node, String> {
        let (mut end, mut align, mut flats, mut plain) = (0_usize, 1_u32, 0_usize, true);
        let mut fields = Vec::new();
        for ty in types {
            let node = self.node(ty)?;
            let at = end.next_multiple_of(node.align as usize);
            plain &= node.plain && at == end;
            align = align.max(node.align);
            end = at + node.size;
            let flat_at = flats;
            flats += node.flats;
            fields.push(Field { node, at, flat_at });
        }
        let size = end.next_multiple_of(align as usize);
        Ok(Node { shape: Shape::Record(fields.into()), size, align, plain: plain && size == end, flats })
    }

    fn variant<'t>(&mut self, types: impl Iterator<Item = Option<&'t Type>>) -> Result<Node, String> {
        let cases: Box<[Option<Node>]> =
            types.map(|ty| ty.map(|ty| self.node(ty)).transpose()).collect::<Result<_, _>>()?;
        let tag_bytes: u8 = match cases.len() {
            0..=0x100 => 1,
            0x101..=0x1_0000 => 2,
            _ => 4,
        };
        let payloads = || cases.iter().flatten();
        let payload_align = payloads().map(|node| node.align).max().unwrap_or(1);
        let payload_at = usize::from(tag_bytes).next_multiple_of(payload_align as usize);
        let payload_size = payloads().map(|node| node.size).max().unwrap_or(0);
        let flats = 1 + payloads().map(|node| node.flats).max().unwrap_or(0);
        let align = payload_align.max(tag_bytes.into());
        let size = (payload_at + payload_size).next_multiple_of(align as usize);
        let shape = Shape::Variant(Variant { tag_bytes, payload_at, cases });
        Ok(Node { shape, size, align, plain: false, flats })
    }
}

fn number(bytes: u8, signed: bool) -> Node {
    Node { plain: true, ..leaf(Shape::Number { bytes, signed }, bytes.into(), 1) }
}

/// A node whose alignment is its size, as it is for all scalars.
fn leaf(shape: Shape, size: usize, flats: usize) -> Node {
    Node { shape, size, align: u32::try_from(size).unwrap_or(1), plain: false, flats }
}

fn flags(count: usize) -> Node {
    let bits = |word: usize| match count - word * 32 {
        left if left >= 32 => u32::MAX,
        left => (1 << left) - 1,
    };
    let words: Box<[u32]> = (0..count.div_ceil(32)).map(bits).collect();
    let (size, align) = match count {
        0 => (0, 1),
        1..=8 => (1, 1),
        9..=16 => (2, 2),
        _ => (4 * words.len(), 4),
    };
    let flats = words.len();
    Node { shape: Shape::Flags(words), size, align, plain: false, flats }
}
