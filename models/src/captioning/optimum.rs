//! A decoder in the layout of Hugging Face Optimum's `decoder_model_merged.onnx`.
//!
//! One graph serves the first step and the later ones, told apart by `use_cache_branch`. The keys and values of the
//! attention over the picture are computed in the first step and kept; those over the sentence grow by one each step.
//! All sentences of all pictures in a batch are rows of one run; a row that has ended is left out of the next.

use serde::Deserialize;
use tokenizers::Tokenizer;

use super::beam::{Search, SearchRules, log_softmax, words};
use super::{Caption, CaptionRequest};
use crate::manifest::ModelEntry;
use crate::session::{Input, Output, Session, SessionOptions};
use crate::{Error, ModelRef, Network, Pack};

pub(super) struct OptimumDecoder {
    session: Session,
    tokenizer: Tokenizer,
    rules: SearchRules,
    caches: Vec<CachePort>,
    takes_states: bool,
    takes_mask: bool,
}

/// One `past_key_values.*` input and the `present.*` output that follows it.
#[derive(Debug)]
struct CachePort {
    past: String,
    present: String,
    heads: usize,
    head_width: usize,
    /// Over the picture, not over the sentence.
    over_picture: bool,
}

#[derive(Deserialize)]
struct GenerationConfig {
    #[serde(alias = "decoder_start_token_id")]
    bos_token_id: u32,
    eos_token_id: u32,
    max_length: usize,
    #[serde(default = "no_penalty")]
    length_penalty: f32,
}

fn no_penalty() -> f32 {
    1.0
}

impl OptimumDecoder {
    pub fn load(pack: &Pack, entry: &ModelEntry, options: &SessionOptions) -> Result<Self, Error> {
        let config_path = pack.file(entry, "generation_config")?;
        let text = pack.read_text(entry, "generation_config")?;
        // Files of both worlds name the first token twice; the more particular name wins.
        let mut json: serde_json::Value = serde_json::from_str(&text)
            .map_err(|e| Error::File { path: config_path.clone(), reason: e.to_string() })?;
        if let Some(object) = json.as_object_mut()
            && let Some(start) = object.remove("decoder_start_token_id")
        {
            object.insert("bos_token_id".to_owned(), start);
        }
        let config: GenerationConfig = serde_json::from_value(json)
            .map_err(|e| Error::File { path: config_path, reason: e.to_string() })?;
        let path = pack.file(entry, "tokenizer")?;
        let tokenizer = Tokenizer::from_file(&path)
            .map_err(|e| Error::File { path: path.clone(), reason: e.to_string() })?;
        let session = Session::load(&pack.file(entry, "model")?, entry.model_ref(), options)?;
        let inputs = session.inputs();
        let takes = |name: &str| inputs.iter().any(|input| input.name == name);
        let (takes_states, takes_mask) = (takes("encoder_hidden_states"), takes("encoder_attention_mask"));
        let caches = inputs
            .iter()
            .filter_map(|input| {
                let rest = input.name.strip_prefix("past_key_values.")?;
                let [_, heads, _, head_width] = input.shape[..] else { return None };
                Some(CachePort {
                    past: input.name.clone(),
                    present: format!("present.{rest}"),
                    heads: usize::try_from(heads).ok()?,
                    head_width: usize::try_from(head_width).ok()?,
                    over_picture: rest.contains(".encoder."),
                })
            })
            .collect::<Vec<_>>();
        if caches.is_empty() || !takes("use_cache_branch") {
            return Err(Error::Model {
                model: entry.model_ref().to_string(),
                reason: "not a merged decoder with a cache: it has no past_key_values or no use_cache_branch"
                    .to_owned(),
            });
        }
        let rules = SearchRules {
            bos: config.bos_token_id,
            eos: config.eos_token_id,
            max_length: config.max_length,
            length_penalty: config.length_penalty,
        };
        Ok(Self { session, tokenizer, rules, caches, takes_states, takes_mask })
    }

    /// One step: the next-token log-probabilities of each row, and its caches. Those over the picture are the same in all
    /// steps but the first.
    fn step(
        &mut self,
        last: &[i64],
        states: (&[usize; 3], &[f32]),
        caches: Option<Vec<Output>>,
    ) -> Result<(Vec<Vec<f32>>, Vec<Output>), Error> {
        let rows = last.len();
        let [_, tokens, _] = *states.0;
        let is_first = caches.is_none();
        let past = caches.unwrap_or_else(|| {
            // Before the first token there is nothing; the graph wants the picture's part at its full length.
            let empty = |port: &CachePort| {
                let length = if port.over_picture { tokens } else { 0 };
                let shape = vec![rows, port.heads, length, port.head_width];
                Output { data: vec![0.0; shape.iter().product()], shape }
            };
            self.caches.iter().map(empty).collect()
        });
        let ids_shape = [rows, 1];
        let mask_shape = [rows, tokens];
        let mask = vec![1; rows * tokens];
        let branch = [!is_first];
        let mut inputs: Vec<(&str, &[usize], Input)> = vec![
            ("input_ids", &ids_shape, Input::I64(last)),
            ("use_cache_branch", &[1], Input::Bool(&branch)),
        ];
        if self.takes_states {
            inputs.push(("encoder_hidden_states", states.0, Input::F32(states.1)));
        }
        if self.takes_mask {
            inputs.push(("encoder_attention_mask", &mask_shape, Input::I64(&mask)));
        }
        for (port, cache) in self.caches.iter().zip(&past) {
            inputs.push((&port.past, &cache.shape, Input::F32(&cache.data)));
        }
        let changes = |port: &&CachePort| is_first || !port.over_picture;
        let present = self.caches.iter().filter(changes).map(|port| port.present.as_str());
        let wanted: Vec<&str> = std::iter::once("logits").chain(present).collect();
        let mut outputs = self.session.run(&inputs, &wanted)?;
        let mut changed = outputs.split_off(1).into_iter();
        let logits = &outputs[0];
        let vocabulary = logits.shape.last().copied().unwrap_or(0);
        if logits.shape.first() != Some(&rows) || vocabulary == 0 {
            return Err(Error::Inference {
                model: self.session.model().to_string(),
                reason: format!("logits of {:?} for {rows} rows", logits.shape),
            });
        }
        // A step may look at several positions; only the last one says what comes next.
        let next = (0..rows).map(|i| log_softmax(&logits.row(i)[logits.row_len() - vocabulary..])).collect();
        let present = self.caches.iter().zip(past);
        let present =
            present.filter_map(|(port, past)| if changes(&port) { changed.next() } else { Some(past) });
        Ok((next, present.collect()))
    }

    fn caption(&self, search: Search) -> Result<Caption, Error> {
        let best = search.best();
        let text = self.tokenizer.decode(&best.tokens, true).map_err(|e| Error::Inference {
            model: self.session.model().to_string(),
            reason: format!("decode tokens: {e}"),
        })?;
        let mean_log_probability = best.log_probability / words(&best).max(1) as f32;
        Ok(Caption { text: sentence(&text), token_ids: best.tokens, mean_log_probability })
    }
}

impl Network for OptimumDecoder {
    type Input = CaptionRequest;
    type Output = Caption;

    fn model(&self) -> &ModelRef {
        self.session.model()
    }

    fn provider(&self) -> Option<&str> {
        Some(self.session.provider())
    }

    fn run(&mut self, batch: &[CaptionRequest]) -> Result<Vec<Caption>, Error> {
        let Some(first) = batch.first() else { return Ok(Vec::new()) };
        let &[tokens, width] = &first.tokens.shape[..] else {
            return Err(Error::Input(format!("visual tokens of shape {:?}", first.tokens.shape)));
        };
        if let Some(other) = batch.iter().find(|request| request.tokens.shape != first.tokens.shape) {
            return Err(Error::Input(format!(
                "visual tokens of {:?} and {:?} in a batch",
                first.tokens.shape, other.tokens.shape
            )));
        }
        let mut searches: Vec<Search> = batch.iter().map(|r| Search::new(self.rules, r.strategy)).collect();
        // Which picture each row of the run belongs to; the rows of a picture stand together.
        let mut pictures: Vec<usize> = (0..batch.len()).collect();
        let mut caches: Option<Vec<Output>> = None;
        let mut states = Vec::new();
        while !pictures.is_empty() {
            // Rows change seldom.
            if states.len() != pictures.len() * tokens * width {
                states.clear();
                pictures.iter().for_each(|&picture| states.extend_from_slice(&batch[picture].tokens.data));
            }
            let last: Vec<i64> = searches
                .iter()
                .flat_map(|search| &search.live)
                .map(|hypothesis| hypothesis.tokens.last().map_or(0, |&token| i64::from(token)))
                .collect();
            let shape = [pictures.len(), tokens, width];
            let (next, present) = self.step(&last, (&shape, &states), caches)?;
            let mut rows = Vec::new();
            let mut continued = Vec::new();
            let mut start = 0;
            for (picture, search) in searches.iter_mut().enumerate() {
                let live = search.live.len();
                for parent in search.advance(&next[start..start + live]) {
                    rows.push(start + parent);
                    continued.push(picture);
                }
                start += live;
            }
            let stays = pictures == continued;
            let continue_cache = |(port, cache): (&CachePort, Output)| {
                if stays && port.over_picture { cache } else { gather(cache, &rows) }
            };
            caches = Some(self.caches.iter().zip(present).map(continue_cache).collect());
            if !stays {
                states.clear();
                pictures = continued;
            }
        }
        searches.into_iter().map(|search| self.caption(search)).collect()
    }
}

/// The given rows of a batch, in that order.
fn gather(from: Output, rows: &[usize]) -> Output {
    let count = from.shape.first().copied().unwrap_or(0);
    if rows.iter().copied().eq(0..count) {
        return from;
    }
    let mut data = Vec::with_capacity(rows.len() * from.row_len());
    rows.iter().for_each(|&row| data.extend_from_slice(from.row(row)));
    let mut shape = from.shape;
    shape.iter_mut().take(1).for_each(|count| *count = rows.len());
    Output { shape, data }
}

/// With a capital and a full stop.
fn sentence(text: &str) -> String {
    let text = text.trim();
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => {
            let stop = if text.ends_with(['.', '!', '?']) { "" } else { "." };
            format!("{}{}{stop}", first.to_uppercase(), letters.as_str())
        }
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::sentence;

    #[test]
    fn sentences_begin_large_and_end_with_a_stop() {
        assert_eq!(sentence(" a dog runs "), "A dog runs.");
        assert_eq!(sentence("été !"), "Été !");
        assert_eq!(sentence(""), "");
    }
}
