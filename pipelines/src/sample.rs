//! Inputs to measure networks with.

use docent_models::ocr::{Strip, prepare_strip};
use docent_models::pixels::Prepared;
use docent_models::{Error, InputSpec, Picture, Tensor};

/// Makes an input of a network's usual form.
pub(crate) enum Sample<I> {
    /// From a picture without content.
    Picture(fn(&InputSpec, &Picture) -> Result<I, Error>),
    /// From the network's own.
    Own(Box<dyn Fn(I) -> I + Send + Sync>),
}

impl Sample<Tensor> {
    pub(crate) fn tensor() -> Self {
        Self::Picture(|spec, picture| Ok(spec.prepare(picture)?.tensor))
    }
}

impl Sample<Prepared> {
    pub(crate) fn prepared() -> Self {
        Self::Picture(InputSpec::prepare)
    }
}

impl Sample<Strip> {
    pub(crate) fn strip() -> Self {
        Self::Picture(|spec, picture| {
            let (right, bottom) = (picture.width() as f32, picture.height() as f32);
            prepare_strip(spec, picture, &[[0.0, 0.0], [right, 0.0], [right, bottom], [0.0, bottom]])
        })
    }
}

impl<I> Sample<I> {
    /// `None` if the network has neither a form for pictures nor an input of its own.
    pub(crate) fn make(&self, spec: Option<&InputSpec>, own: Option<I>) -> Option<I> {
        match self {
            Self::Picture(prepare) => {
                let spec = spec?;
                let gray = vec![127; spec.width as usize * spec.height as usize * 3];
                prepare(spec, &Picture::new(spec.width, spec.height, gray).ok()?).ok()
            }
            Self::Own(change) => own.map(change),
        }
    }
}
