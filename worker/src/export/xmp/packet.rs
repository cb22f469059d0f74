//! An XMP packet: the properties in it, in whichever of RDF's many forms they are written, and careful changes to them.

use super::encoding::Encoding;
use super::names::{
    RDF_ABOUT, RDF_ALT, RDF_BAG, RDF_DESCRIPTION, RDF_LI, RDF_PARSE_TYPE, RDF_RDF, RDF_SEQ, XML_LANG,
};
use super::tree::{Element, Name, New, Path, Tree, TreeError};
use super::value::{Value, is_list, value};

/// Larger packets are refused: those with hundreds of drawn masks have some megabytes.
pub const MAX_BYTES: u64 = 16 << 20;
/// Of texts without a language, and of a text for those whose language is not there.
const DEFAULT_LANGUAGE: &str = "x-default";
/// What a new sidecar begins as.
const EMPTY: &str = "<?xpacket begin=\"\u{feff}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>
<x:xmpmeta xmlns:x=\"adobe:ns:meta/\" x:xmptk=\"docent\">
 <rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">
  <rdf:Description rdf:about=\"\"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end=\"w\"?>
";

/// Why bytes are no packet that docent can read or change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// There is more of it than docent reads.
    #[error("it has {0} bytes, and more than {MAX_BYTES} are not read")]
    TooLarge(u64),
    /// No text that XML can be in.
    #[error("{0}")]
    Encoding(&'static str),
    /// No XML.
    #[error("it is not read as XML: {0}")]
    Xml(#[from] TreeError),
    /// XML that is something else.
    #[error("it is XML and no XMP: there is no rdf:RDF in it")]
    NoRdf,
    /// A property that is written in no form that XMP knows.
    #[error("{0} is written in a form that docent does not change")]
    Form(String),
}

/// The kinds of lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// In no order.
    Bag,
    /// In order.
    Seq,
}

/// A packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    tree: Tree,
    rdf: Path,
    encoding: Encoding,
}

/// Where a property stands.
enum Spot {
    /// An attribute of the element that holds it.
    Attribute(Path, usize),
    /// An element.
    Element(Path),
}

impl Packet {
    /// A packet that says nothing.
    ///
    /// # Errors
    ///
    /// None, as the tests show.
    pub fn empty() -> Result<Self, PacketError> {
        Self::parse(EMPTY.as_bytes())
    }

    /// Reads a packet.
    pub fn parse(bytes: &[u8]) -> Result<Self, PacketError> {
        if bytes.len() as u64 > MAX_BYTES {
            return Err(PacketError::TooLarge(bytes.len() as u64));
        }
        let (encoding, text) = Encoding::read(bytes).map_err(PacketError::Encoding)?;
        let tree = Tree::parse(&text)?;
        let root = tree.at(&[]).ok_or(PacketError::NoRdf)?;
        let rdf = if RDF_RDF.is(root.name()) {
            Path::new()
        } else {
            let inside = root.elements().find(|(_, element)| RDF_RDF.is(element.name()));
            vec![inside.ok_or(PacketError::NoRdf)?.0]
        };
        Ok(Self { tree, rdf, encoding })
    }

    /// Its bytes: where nothing was changed, those that were read.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.encoding.write(&self.tree.to_text())
    }

    /// Whether both say the same, however they write it.
    pub fn is_like(&self, other: &Self) -> bool {
        self.rdf == other.rdf && self.tree.is_like(&other.tree)
    }

    /// What a property says.
    pub fn get(&self, name: Name) -> Option<Value> {
        self.find(name).map(|spot| self.value(&spot))
    }

    /// Texts in several languages, each with its own, in lower case.
    pub fn texts(&self, name: Name) -> Vec<(Option<String>, String)> {
        match self.get(name) {
            Some(Value::List(items)) => items
                .into_iter()
                .filter_map(|item| Some((item.language, item.value.text()?.to_owned())))
                .collect(),
            Some(Value::Text(text)) => vec![(None, text)],
            _ => Vec::new(),
        }
    }

    /// The text that stands for all languages: the default, or else the first one.
    pub fn text(&self, name: Name) -> Option<String> {
        let texts = self.texts(name);
        let default = texts.iter().find(|(language, _)| language.as_deref() == Some(DEFAULT_LANGUAGE));
        default.or(texts.first()).map(|(_, text)| text.clone())
    }

    /// Whether a property says nothing, in whatever form.
    pub fn is_empty(&self, name: Name) -> bool {
        fn says_nothing(value: &Value) -> bool {
            match value {
                Value::Text(text) => text.trim().is_empty(),
                Value::List(items) => items.iter().all(|item| says_nothing(&item.value)),
                Value::Struct(_) | Value::Unknown => false,
            }
        }
        self.get(name).is_none_or(|value| says_nothing(&value))
    }

    /// Makes a property say what `new` says, or takes it out.
    pub fn replace(&mut self, name: Name, new: Option<New>) {
        let spot = self.find(name);
        if spot.as_ref().map(|spot| self.value(spot)) == new.as_ref().map(Value::of) {
            return;
        }
        if let Some(spot) = spot {
            self.remove(spot);
        }
        if let Some(new) = new {
            self.add(&new);
        }
    }

    /// Sets the default of a text in several languages, or takes it out; other languages stay.
    pub fn set_text(&mut self, name: Name, text: Option<&str>) {
        let fresh = text.map(|text| {
            let item = New::text(RDF_LI, text).with(XML_LANG, DEFAULT_LANGUAGE);
            New::elements(name, vec![New::elements(RDF_ALT, vec![item])])
        });
        let Some(Spot::Element(property)) = self.find(name) else { return self.replace(name, fresh) };
        let Some(list) = self.list_in(&property) else { return self.replace(name, fresh) };
        let Some(element) = self.tree.at_mut(&list) else { return };
        let is_default = |item: &Element| {
            item.attribute(XML_LANG).is_some_and(|language| language.eq_ignore_ascii_case(DEFAULT_LANGUAGE))
        };
        let items: Vec<usize> = element.elements().map(|(place, _)| place).collect();
        let default = element.elements().find(|(_, item)| is_default(item)).map(|(place, _)| place);
        match (default.or(items.first().copied()), text) {
            (Some(place), Some(text)) => {
                let item = [list, vec![place]].concat();
                if let Some(item) = self.tree.at_mut(&item) {
                    item.set_text(text);
                }
            }
            (Some(_), None) if items.len() == 1 => self.remove(Spot::Element(property)),
            (Some(place), None) => element.remove(place),
            (None, _) => self.replace(name, fresh),
        }
    }

    /// Takes items out of a list, by their places among its items, and adds others. A list that is not there is made, one with nothing
    /// left is taken out.
    ///
    /// # Errors
    ///
    /// The property is no list and no text.
    pub fn change_list(
        &mut self,
        name: Name,
        kind: List,
        without: &[usize],
        with: Vec<New>,
    ) -> Result<(), PacketError> {
        let home = match self.find(name) {
            Some(Spot::Attribute(home, _)) => home,
            Some(Spot::Element(path)) => path[..path.len().saturating_sub(1)].to_vec(),
            None => self.home(),
        };
        self.change_list_in(&home, name, kind, (without, with))
    }

    /// The same for a field of a property that is a struct.
    ///
    /// # Errors
    ///
    /// The property is no struct, or the field no list.
    pub fn change_field(
        &mut self,
        property: Name,
        field: Name,
        kind: List,
        change: (&[usize], Vec<New>),
    ) -> Result<(), PacketError> {
        let form = || PacketError::Form(property.to_string());
        let Some(Spot::Element(path)) = self.find(property) else { return Err(form()) };
        let home = self.fields_in(&path).ok_or_else(form)?;
        self.change_list_in(&home, field, kind, change)?;
        Ok(())
    }

    /// Takes a property out.
    pub fn take_out(&mut self, name: Name) {
        if let Some(spot) = self.find(name) {
            self.remove(spot);
        }
    }

    /// Adds a property that is not there.
    pub fn add(&mut self, new: &New) {
        let home = self.home();
        self.add_to(&home, new);
    }

    fn change_list_in(
        &mut self,
        home: &Path,
        name: Name,
        kind: List,
        (without, with): (&[usize], Vec<New>),
    ) -> Result<(), PacketError> {
        let container = match kind {
            List::Bag => RDF_BAG,
            List::Seq => RDF_SEQ,
        };
        let spot = self.find_in(home, name);
        if let Some(Spot::Element(property)) = &spot
            && let Some(list) = self.list_in(property)
        {
            for new in &with {
                self.tree.append(&list, new);
            }
            let Some(element) = self.tree.at_mut(&list) else { return Ok(()) };
            let places: Vec<usize> = element.elements().map(|(place, _)| place).collect();
            let mut gone: Vec<usize> = without.iter().filter_map(|item| places.get(*item).copied()).collect();
            gone.sort_unstable();
            for place in gone.into_iter().rev() {
                element.remove(place);
            }
            if element.elements().next().is_none() {
                self.remove(Spot::Element(property.clone()));
            }
            return Ok(());
        }
        // A lone text is a list of one.
        let mut items = match spot.as_ref().map(|spot| self.value(spot)) {
            None => Vec::new(),
            Some(Value::Text(text)) if text.trim().is_empty() || without.contains(&0) => Vec::new(),
            Some(Value::Text(text)) => vec![New::text(RDF_LI, text)],
            Some(_) => return Err(PacketError::Form(name.to_string())),
        };
        items.extend(with);
        if let Some(spot) = spot {
            self.remove(spot);
        }
        if !items.is_empty() {
            self.add_to(home, &New::elements(name, vec![New::elements(container, items)]));
        }
        Ok(())
    }

    fn add_to(&mut self, home: &Path, new: &New) {
        self.tree.declare(home, new);
        self.tree.append(home, new);
    }

    /// The elements that hold properties.
    fn homes(&self) -> Vec<Path> {
        let Some(rdf) = self.tree.at(&self.rdf) else { return Vec::new() };
        let homes = rdf.elements().filter(|(_, element)| RDF_DESCRIPTION.is(element.name()));
        homes.map(|(place, _)| [self.rdf.clone(), vec![place]].concat()).collect()
    }

    /// The element that new properties are added to.
    fn home(&mut self) -> Path {
        if self.homes().is_empty() {
            let new = New::elements(RDF_DESCRIPTION, Vec::new()).with(RDF_ABOUT, "");
            let rdf = self.rdf.clone();
            self.tree.append(&rdf, &new);
        }
        self.homes().into_iter().next().unwrap_or_default()
    }

    fn find(&self, name: Name) -> Option<Spot> {
        self.homes().iter().find_map(|home| self.find_in(home, name))
    }

    fn find_in(&self, home: &Path, name: Name) -> Option<Spot> {
        let element = self.tree.at(home)?;
        if let Some(index) = element.attributes().iter().position(|a| name.is(&a.name)) {
            return Some(Spot::Attribute(home.clone(), index));
        }
        let (place, _) = element.elements().find(|(_, element)| name.is(element.name()))?;
        Some(Spot::Element([home.clone(), vec![place]].concat()))
    }

    fn value(&self, spot: &Spot) -> Value {
        match spot {
            Spot::Attribute(home, index) => {
                let attribute = self.tree.at(home).and_then(|home| home.attributes().get(*index));
                attribute.map_or(Value::Unknown, |attribute| Value::Text(attribute.value.clone()))
            }
            Spot::Element(path) => self.tree.at(path).map_or(Value::Unknown, value),
        }
    }

    fn remove(&mut self, spot: Spot) {
        match spot {
            Spot::Attribute(home, index) => {
                if let Some(home) = self.tree.at_mut(&home) {
                    home.remove_attribute(index);
                }
            }
            Spot::Element(path) => {
                if let Some((place, home)) = path.split_last()
                    && let Some(home) = self.tree.at_mut(home)
                {
                    home.remove(*place);
                }
            }
        }
    }

    /// The list within a property.
    fn list_in(&self, property: &Path) -> Option<Path> {
        let element = self.tree.at(property)?;
        let (place, inside) = element.elements().next()?;
        is_list(inside).then(|| [property.clone(), vec![place]].concat())
    }

    /// The element that holds the fields of a property.
    fn fields_in(&self, property: &Path) -> Option<Path> {
        let element = self.tree.at(property)?;
        if element.attribute(RDF_PARSE_TYPE) == Some("Resource") {
            return Some(property.clone());
        }
        let (place, inside) = element.elements().next()?;
        (!is_list(inside)).then(|| [property.clone(), vec![place]].concat())
    }
}
