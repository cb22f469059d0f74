//! The two halves of a CLIP export: `pixel_values` to `image_embeds` (and `last_hidden_state`), `input_ids` and
//! `attention_mask` (and `token_type_ids`) to `text_embeds`.

use std::sync::Arc;

use tokenizers::{Tokenizer, TruncationParams};

use super::ImageEmbedding;
use crate::manifest::ModelEntry;
use crate::session::{Input, Session, SessionOptions};
use crate::{Error, ModelRef, Network, Pack, Tensor};

/// Queries are sentences; the bundled encoder was trained on no more.
const MAX_TOKENS: usize = 64;

pub(super) struct ClipVision {
    session: Session,
}

impl ClipVision {
    pub fn load(pack: &Pack, entry: &ModelEntry, options: &SessionOptions) -> Result<Self, Error> {
        Ok(Self { session: Session::load(&pack.file(entry, "model")?, entry.model_ref(), options)? })
    }
}

impl Network for ClipVision {
    type Input = Tensor;
    type Output = ImageEmbedding;

    fn model(&self) -> &ModelRef {
        self.session.model()
    }

    fn provider(&self) -> Option<&str> {
        Some(self.session.provider())
    }

    fn run(&mut self, batch: &[Tensor]) -> Result<Vec<ImageEmbedding>, Error> {
        let tensors: Vec<&Tensor> = batch.iter().collect();
        let outputs =
            self.session.run_batch(&tensors, "pixel_values", &["image_embeds", "last_hidden_state"])?;
        let [vectors, tokens] = &outputs[..] else { return Ok(Vec::new()) };
        let decode = |i| ImageEmbedding {
            vector: unit(vectors.row(i)),
            tokens: Arc::new(Tensor {
                shape: tokens.shape[1..].to_vec(),
                data: tokens.row(i).to_vec().into(),
            }),
        };
        Ok((0..batch.len()).map(decode).collect())
    }
}

pub(super) struct ClipText {
    session: Session,
    tokenizer: Tokenizer,
    types: bool,
}

impl ClipText {
    pub fn load(pack: &Pack, entry: &ModelEntry, options: &SessionOptions) -> Result<Self, Error> {
        let path = pack.file(entry, "tokenizer")?;
        let failed =
            |error: &dyn std::fmt::Display| Error::File { path: path.clone(), reason: error.to_string() };
        let mut tokenizer = Tokenizer::from_file(&path).map_err(|e| failed(&e))?;
        let truncation = TruncationParams { max_length: MAX_TOKENS, ..TruncationParams::default() };
        // The file may pad everything to a fixed length; a batch is padded to its longest text instead.
        tokenizer.with_padding(None).with_truncation(Some(truncation)).map_err(|e| failed(&e))?;
        let session = Session::load(&pack.file(entry, "model")?, entry.model_ref(), options)?;
        let types = session.inputs().iter().any(|input| input.name == "token_type_ids");
        Ok(Self { session, tokenizer, types })
    }
}

impl Network for ClipText {
    type Input = String;
    type Output = Vec<f32>;

    fn model(&self) -> &ModelRef {
        self.session.model()
    }

    fn provider(&self) -> Option<&str> {
        Some(self.session.provider())
    }

    fn run(&mut self, batch: &[String]) -> Result<Vec<Vec<f32>>, Error> {
        let texts: Vec<&str> = batch.iter().map(String::as_str).collect();
        let encoded = self.tokenizer.encode_batch(texts, true).map_err(|error| Error::Inference {
            model: self.session.model().to_string(),
            reason: format!("tokenize: {error}"),
        })?;
        let length = encoded.iter().map(|e| e.get_ids().len()).max().unwrap_or(0).max(1);
        let padded = |values: fn(&tokenizers::Encoding) -> &[u32]| -> Vec<i64> {
            let row = |e| {
                let given = <[u32]>::iter(values(e)).map(|&v| i64::from(v));
                given.chain(std::iter::repeat(0)).take(length)
            };
            encoded.iter().flat_map(row).collect()
        };
        let ids = padded(tokenizers::Encoding::get_ids);
        let mask = padded(tokenizers::Encoding::get_attention_mask);
        let types = vec![0; ids.len()];
        let shape = [batch.len(), length];
        let mut inputs: Vec<(&str, &[usize], Input)> =
            vec![("input_ids", &shape, Input::I64(&ids)), ("attention_mask", &shape, Input::I64(&mask))];
        if self.types {
            inputs.push(("token_type_ids", &shape, Input::I64(&types)));
        }
        let outputs = self.session.run(&inputs, &["text_embeds"])?;
        Ok((0..batch.len()).map(|i| unit(outputs[0].row(i))).collect())
    }
}

/// `values` at length 1; exports differ in whether they normalize.
fn unit(values: &[f32]) -> Vec<f32> {
    let norm = values.iter().map(|v| v * v).sum::<f32>().sqrt();
    if norm > 0.0 { values.iter().map(|v| v / norm).collect() } else { values.to_vec() }
}
