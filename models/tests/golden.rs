//! Every bundled network against outputs recorded from ONNX Runtime's Python binding and Pillow.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use docent_models::captioning::{CaptionRequest, Strategy};
use docent_models::session::SessionOptions;
use docent_models::{
    Network, Pack, Picture, Prepared, Task, Tensor, captioning, embedding, emotion, faces, objects, tagging,
};
use serde_json::Value;

/// Values agree when they differ by at most this much, absolutely or relative to the expected one.
#[derive(Clone, Copy)]
struct Tolerance(f64);

impl Tolerance {
    fn check(self, what: &str, expected: f64, found: f64) {
        let allowed = self.0 * expected.abs().max(1.0);
        assert!((expected - found).abs() <= allowed, "{what}: {found} instead of {expected}");
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

fn pack() -> Pack {
    Pack::open(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("the bundled pack opens")
}

fn json(name: &str) -> Value {
    let text =
        std::fs::read_to_string(fixtures().join("golden").join(name)).expect("the golden file is there");
    serde_json::from_str(&text).expect("the golden file is JSON")
}

fn picture(name: &str) -> Picture {
    let image = image::open(fixtures().join("pictures").join(name)).expect("the picture opens").to_rgb8();
    Picture::new(image.width(), image.height(), image.into_raw()).expect("is a picture")
}

fn names() -> Vec<String> {
    json("pictures.json")["pictures"].as_object().expect("pictures").keys().cloned().collect()
}

/// The synthetic input of the golden file: two items of `shape`, as a flat sawtooth.
fn synthetic(shape: &[usize], golden: &Value) -> [Tensor; 2] {
    let (lo, hi) = (golden["input_lo"].as_f64().expect("lo"), golden["input_hi"].as_f64().expect("hi"));
    let length: usize = shape.iter().product();
    [0, 1].map(|item| {
        let value = |k: usize| (lo + (hi - lo) * ((k * 37) % 256) as f64 / 255.0) as f32;
        Tensor { shape: shape.to_vec(), data: (item * length..(item + 1) * length).map(value).collect() }
    })
}

/// Compares what the golden file records of an output: the first values and the mean of each item.
fn check(name: &str, output: &Value, items: [&[f32]; 2]) {
    let tolerance = Tolerance(1e-3);
    for (i, expected) in output["first5_of_item0"].as_array().expect("values").iter().enumerate() {
        tolerance.check(
            &format!("{name}[{i}]"),
            expected.as_f64().expect("a number"),
            f64::from(items[0][i]),
        );
    }
    for (item, values) in items.iter().enumerate() {
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
        if let Some(expected) = output[format!("mean_item{item}")].as_f64() {
            tolerance.check(&format!("{name} mean {item}"), expected, mean);
        }
    }
}

fn identity(tensor: Tensor) -> Prepared {
    let side = (tensor.shape[2] as u32, tensor.shape[1] as u32);
    Prepared { tensor, scale: (1.0, 1.0), offset: (0.0, 0.0), picture: side }
}

#[test]
fn tagger_on_the_synthetic_input() {
    let golden = &json("starter.json")["models"]["tagger_efficientnet_lite0"]["golden"];
    let mut tagger = tagging::load(&pack(), &SessionOptions::default()).expect("loads");
    let scores = tagger.run(&synthetic(&[3, 224, 224], golden)).expect("runs");
    // The file records logits; the network answers their softmax, so compare ratios.
    let logits: Vec<f64> = golden["outputs"]["logits"]["first5_of_item0"]
        .as_array()
        .expect("values")
        .iter()
        .map(|v| v.as_f64().expect("a number"))
        .collect();
    for i in 1..5 {
        let found = f64::from(scores[0].probabilities[i] / scores[0].probabilities[0]).ln();
        Tolerance(2e-3).check(&format!("logit {i} - logit 0"), logits[i] - logits[0], found);
    }
}

#[test]
fn emotion_and_face_networks_on_the_synthetic_input() {
    let golden = json("starter.json");
    let golden = |name: &str| golden["models"][name]["golden"].clone();
    let pack = pack();
    let options = SessionOptions::default();

    let g = golden("emotion_mini_xception");
    let scores =
        emotion::load(&pack, &options).expect("loads").run(&synthetic(&[1, 64, 64], &g)).expect("runs");
    let values: Vec<Vec<f32>> = scores.iter().map(|s| s.iter().map(|s| s.probability).collect()).collect();
    check("probabilities", &g["outputs"]["probabilities"], [&values[0], &values[1]]);

    let g = golden("face_embedder_dlib_resnet");
    let mut embedder = faces::load_embedder(&pack, &options).expect("loads");
    let vectors = embedder.run(&synthetic(&[3, 150, 150], &g)).expect("runs");
    check("embedding", &g["outputs"]["embedding"], [&vectors[0], &vectors[1]]);

    let g = golden("face_landmarks_68");
    let mut finder = faces::load_landmarks(&pack, &options).expect("loads");
    let points = finder.run(&synthetic(&[3, 112, 112], &g).map(identity)).expect("runs");
    let flat: Vec<Vec<f32>> =
        points.iter().map(|l| l.0.iter().flatten().map(|v| v / 112.0).collect()).collect();
    check("landmarks", &g["outputs"]["landmarks"], [&flat[0], &flat[1]]);
}

#[test]
fn tags_of_the_free_pictures() {
    let golden = json("pictures.json");
    let labels = std::fs::read_to_string(fixtures().join("golden/imagenet_labels.txt")).expect("labels");
    let labels: Vec<&str> = labels.lines().map(|line| line.split_once(' ').expect("id and name").1).collect();
    let pack = pack();
    let spec = pack.model(Task::Tagging).expect("is there").input().expect("has a spec").clone();
    let mut tagger = tagging::load(&pack, &SessionOptions::default()).expect("loads");
    for name in names() {
        let input = spec.prepare(&picture(&name)).expect("is prepared").tensor;
        let probabilities = tagger.run(&[input]).expect("runs").remove(0).probabilities;
        let mut order: Vec<usize> = (0..1000).collect();
        order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
        let expected = golden["pictures"][&name]["tags_top5"].as_array().expect("tags");
        for (rank, tag) in expected.iter().take(3).enumerate() {
            let (label, p) = (tag[0].as_str().expect("a label"), tag[1].as_f64().expect("a probability"));
            let index = labels.iter().position(|l| *l == label).expect("a known label");
            let found = f64::from(probabilities[index]);
            assert!((found - p).abs() < 0.03, "{name}: {label} {found} instead of {p}");
            // The order may differ between neighbors that are closer than 0.02.
            let at_rank = f64::from(probabilities[order[rank]]);
            assert!(
                order[rank] == index || (at_rank - found).abs() < 0.02,
                "{name}: rank {rank} is not {label}"
            );
        }
    }
}

#[test]
fn embeddings_and_rankings_of_the_free_pictures() {
    let golden = json("pictures.json");
    let pack = pack();
    let spec = pack.model(Task::ImageEmbedding).expect("is there").input().expect("has a spec").clone();
    let mut images = embedding::load_image(&pack, &SessionOptions::default()).expect("loads");
    let mut vectors = Vec::new();
    for name in names() {
        let input = spec.prepare(&picture(&name)).expect("is prepared").tensor;
        let found = images.run(&[input]).expect("runs").remove(0);
        let norm: f32 = found.vector.iter().map(|v| v * v).sum();
        assert!((norm - 1.0).abs() < 1e-4, "{name}: length {norm}");
        assert_eq!(found.tokens.shape, [49, 256]);
        let expected = golden["pictures"][&name]["image_embeds_first8"].as_array().expect("values");
        for (i, expected) in expected.iter().enumerate() {
            Tolerance(6e-3).check(
                &format!("{name}[{i}]"),
                expected.as_f64().expect("a number"),
                f64::from(found.vector[i]),
            );
        }
        vectors.push((name, found.vector));
    }
    let mut words = embedding::load_text(&pack, &SessionOptions::default()).expect("loads");
    for (text, expected) in golden["texts"].as_object().expect("texts") {
        let query = words.run(std::slice::from_ref(text)).expect("runs").remove(0);
        for (i, expected) in expected["text_embeds_first8"].as_array().expect("values").iter().enumerate() {
            Tolerance(1e-3).check(
                &format!("{text}[{i}]"),
                expected.as_f64().expect("a number"),
                f64::from(query[i]),
            );
        }
        let score = |vector: &[f32]| vector.iter().zip(&query).map(|(a, b)| a * b).sum::<f32>();
        let mut ranking: Vec<(&str, f32)> =
            vectors.iter().map(|(name, v)| (name.as_str(), score(v))).collect();
        ranking.sort_by(|a, b| b.1.total_cmp(&a.1));
        let (best, cosine) =
            (&expected["ranking"][0][0], expected["ranking"][0][1].as_f64().expect("a cosine"));
        let found = ranking.iter().find(|(name, _)| best == name).expect("is ranked").1;
        Tolerance(0.02).check(text, cosine, f64::from(found));
        assert!(ranking[0].1 - found < 0.02, "{text}: {} before {best}", ranking[0].0);
    }
}

#[test]
fn captions_of_the_free_pictures() {
    let golden = json("pictures.json");
    let pack = pack();
    let spec = pack.model(Task::ImageEmbedding).expect("is there").input().expect("has a spec").clone();
    let mut images = embedding::load_image(&pack, &SessionOptions::default()).expect("loads");
    let mut captioner = captioning::load(&pack, &SessionOptions::default()).expect("loads");
    let (mut same_greedy, mut same_beam, mut all) = (0, 0, 0);
    for name in names() {
        let input = spec.prepare(&picture(&name)).expect("is prepared").tensor;
        let tokens = images.run(&[input]).expect("runs").remove(0).tokens;
        let mut caption = |strategy| {
            let request = CaptionRequest { tokens: Arc::clone(&tokens), strategy };
            captioner.run(&[request]).expect("runs").remove(0)
        };
        let greedy = caption(Strategy::Greedy);
        let beam = caption(Strategy::Beam { width: 3 });
        let expected: Vec<u32> = golden["pictures"][&name]["caption_greedy_ids"]
            .as_array()
            .expect("ids")
            .iter()
            .map(|id| id.as_u64().expect("an id") as u32)
            .collect();
        all += 1;
        same_greedy += u32::from(greedy.token_ids == expected);
        let plain = beam.text.trim_end_matches('.').to_lowercase();
        let same = golden["pictures"][&name]["caption_beam3"] == *plain;
        same_beam += u32::from(same);
        println!("{name}: {} | {} {:.3} {same}", greedy.text, beam.text, beam.mean_log_probability.exp());
    }
    // Another antialiased resizer moves logits by hundredths; where two words are that close, either may win.
    assert!(same_greedy + 1 >= all, "{same_greedy} of {all} greedy captions agree");
    assert!(same_beam + 2 >= all, "{same_beam} of {all} beam captions agree");
}

#[test]
fn a_batch_answers_like_its_pictures_one_by_one() {
    let pack = pack();
    let options = SessionOptions::default();
    let pictures: Vec<Picture> = ["astronaut.jpg", "chelsea.jpg", "coffee.jpg"].map(picture).into();
    let inputs = |task| -> Vec<Prepared> {
        let spec = pack.model(task).expect("is there").input().expect("has a spec");
        pictures.iter().map(|p| spec.prepare(p).expect("is prepared")).collect()
    };
    let tensors = |task| -> Vec<Tensor> { inputs(task).into_iter().map(|input| input.tensor).collect() };

    fn same<I: Send + 'static, O: PartialEq + std::fmt::Debug + Send + 'static>(
        mut network: Box<dyn Network<Input = I, Output = O>>,
        inputs: Vec<I>,
    ) {
        let batch = network.run(&inputs).expect("runs");
        for (input, together) in inputs.chunks(1).zip(batch) {
            assert_eq!(network.run(input).expect("runs").remove(0), together, "{}", network.model());
        }
    }
    same(tagging::load(&pack, &options).expect("loads"), tensors(Task::Tagging));
    same(objects::load(&pack, &options).expect("loads"), inputs(Task::ObjectDetection));
    same(faces::load_detector(&pack, &options).expect("loads"), inputs(Task::FaceDetection));
    same(faces::load_landmarks(&pack, &options).expect("loads"), inputs(Task::FaceLandmarks));
    same(faces::load_embedder(&pack, &options).expect("loads"), tensors(Task::FaceEmbedding));
    same(emotion::load(&pack, &options).expect("loads"), tensors(Task::Emotion));

    // Attention over a batch sums in another order: equal within rounding, and the same words.
    let mut images = embedding::load_image(&pack, &options).expect("loads");
    let together = images.run(&tensors(Task::ImageEmbedding)).expect("runs");
    let mut captioner = captioning::load(&pack, &options).expect("loads");
    let strategies = [Strategy::Greedy, Strategy::Beam { width: 3 }, Strategy::Greedy];
    let requests: Vec<CaptionRequest> = together
        .iter()
        .zip(strategies)
        .map(|(e, strategy)| CaptionRequest { tokens: Arc::clone(&e.tokens), strategy })
        .collect();
    let captions = captioner.run(&requests).expect("runs");
    for ((request, caption), (tensor, vector)) in
        requests.chunks(1).zip(&captions).zip(tensors(Task::ImageEmbedding).chunks(1).zip(&together))
    {
        let alone = images.run(tensor).expect("runs").remove(0);
        let cosine: f32 = alone.vector.iter().zip(&vector.vector).map(|(a, b)| a * b).sum();
        assert!(cosine > 0.99999, "cosine {cosine}");
        let single = captioner.run(request).expect("runs").remove(0);
        assert_eq!(single.token_ids, caption.token_ids);
        assert!((single.mean_log_probability - caption.mean_log_probability).abs() < 1e-3);
    }
    let mut words = embedding::load_text(&pack, &options).expect("loads");
    let texts = ["a dog".to_owned(), "two people on a very long sandy beach".to_owned()];
    let together = words.run(&texts).expect("runs");
    for (text, vector) in texts.chunks(1).zip(together) {
        let alone = words.run(text).expect("runs").remove(0);
        let cosine: f32 = alone.iter().zip(&vector).map(|(a, b)| a * b).sum();
        assert!(cosine > 0.999, "cosine {cosine}");
    }
}

/// The detector gets no more of its canvas than the picture covers, and finds the same.
#[test]
fn faces_are_the_same_on_a_trimmed_canvas() {
    let pack = pack();
    let mut detector = faces::load_detector(&pack, &SessionOptions::default()).expect("loads");
    let trimmed = pack.model(Task::FaceDetection).expect("is there").input().expect("has a spec");
    let whole = trimmed.clone().untrimmed();
    let mut seen = 0;
    for name in ["astronaut.jpg", "grace_hopper.jpg", "coffee.jpg", "motorcycle_left.jpg"] {
        let original = picture(name);
        let (width, height) = (original.width(), original.height());
        // Landscape, portrait, panorama; a face that a border cuts is another one with other surroundings.
        let part = |x1: u32, y1: u32, x2: u32, y2: u32| {
            let corner = |x: u32, y: u32| (x as f32, y as f32);
            let ((x1, y1), (x2, y2)) = (corner(x1, y1), corner(x2, y2));
            original.crop(docent_models::BoundingBox { x1, y1, x2, y2 }).expect("is inside")
        };
        for picture in [
            original.clone(),
            part(0, 0, width, height * 6 / 10),
            part(0, 0, width * 65 / 100, height),
            part(0, height / 4, width, height / 4 + height / 9),
        ] {
            let inputs = [trimmed, &whole].map(|spec| spec.prepare(&picture).expect("is prepared"));
            let [_, h, w] = inputs[0].tensor.shape[..] else { panic!("is a picture") };
            assert!(h % 128 == 0 && w % 128 == 0 && h.max(w) == 1024 && h.min(w) < 1024 + 128, "{h} x {w}");
            let looks = detector.run(&inputs).expect("runs");
            assert_eq!(looks[0].faces.len(), looks[1].faces.len(), "{name}: {looks:?}");
            for (a, b) in looks[0].faces.iter().zip(&looks[1].faces) {
                // What the picture's own border cuts is the least certain.
                let alike = (a.score - b.score).abs() < 0.02 && a.bbox.iou(&b.bbox) > 0.8;
                assert!(alike, "{name}: {a:?} {b:?}");
                seen += 1;
            }
        }
    }
    assert!(seen >= 4, "{seen}");
}

#[test]
fn faces_and_objects_are_found_where_they_are() {
    let pack = pack();
    let options = SessionOptions::default();
    let hopper = picture("grace_hopper.jpg");
    let spec = pack.model(Task::FaceDetection).expect("is there").input().expect("has a spec");
    let mut detector = faces::load_detector(&pack, &options).expect("loads");
    let mut look = |picture: &Picture| {
        detector.run(&[spec.prepare(picture).expect("is prepared")]).expect("runs").remove(0)
    };
    let found = look(&hopper).faces;
    assert_eq!(found.len(), 1, "{found:?}");
    // Far away in a large picture it is not seen, but leaves a hint where a closer look finds it.
    let (width, height) = (2000, 1500);
    let far = |small: Option<&Picture>| {
        let mut rgb = vec![150; (width * height * 3) as usize];
        for (y, row) in small.iter().flat_map(|s| s.rgb().chunks_exact(s.width() as usize * 3).enumerate()) {
            let at = ((900 + y) * width as usize + 300) * 3;
            rgb[at..at + row.len()].copy_from_slice(row);
        }
        Picture::new(width, height, rgb).expect("is a picture")
    };
    let small = hopper.resize(115, 135).expect("is resized");
    let distant = far(Some(&small));
    let first = look(&distant);
    let tiles = faces::promising_tiles(width, height, &first.hints);
    let [tile] = tiles[..] else { panic!("{tiles:?}") };
    assert_eq!((first.faces.len(), tile.x1, tile.y2), (0, 0.0, 1500.0));
    assert_eq!(look(&distant.crop(tile).expect("is inside")).faces.len(), 1);
    assert_eq!(look(&far(None)), faces::FaceLook::default());
    let face = found[0].bbox;
    let spec = pack.model(Task::FaceLandmarks).expect("is there").input().expect("has a spec");
    let mut finder = faces::load_landmarks(&pack, &options).expect("loads");
    let points = finder
        .run(&[faces::prepare_landmarks(spec, &hopper, face).expect("is prepared")])
        .expect("runs")
        .remove(0);
    let [left, right, nose] = [36, 45, 33].map(|i| points.0[i]);
    assert!(left[0] < nose[0] && nose[0] < right[0] && left[1] < nose[1], "{left:?} {nose:?} {right:?}");
    assert!(nose[0] > face.x1 && nose[0] < face.x2 && nose[1] > face.y1 && nose[1] < face.y2);

    let spec = pack.model(Task::ObjectDetection).expect("is there").input().expect("has a spec");
    let mut detector = objects::load(&pack, &options).expect("loads");
    let cat =
        detector.run(&[spec.prepare(&picture("chelsea.jpg")).expect("is prepared")]).expect("runs").remove(0);
    assert_eq!(cat.iter().map(|d| &*d.label).collect::<Vec<_>>(), ["cat"]);
    let street = detector
        .run(&[spec.prepare(&picture("motorcycle_left.jpg")).expect("is prepared")])
        .expect("runs")
        .remove(0);
    assert!(street.iter().any(|d| &*d.label == "motorcycle"), "{street:?}");
}
