//! Looking closely.

use serde_json::{Value, json};

use super::{begin, made, shows};
use crate::archive::{Archive, Made, object};
use crate::browser::Browser;

/// The picture and the region, on the screen: x, y, width, height of each, and the width of the region's line.
const BOXES: &str = "(() => { const of = (selector) => { const { x, y, width, height } = \
                     document.querySelector(selector).getBoundingClientRect(); return [x, y, width, height]; }; \
                     return [of('.picture img'), of('.region'), of('#canvas'), \
                     [parseFloat(getComputedStyle(document.querySelector('.region')).strokeWidth)]]; })()";

struct Boxes {
    picture: Vec<f64>,
    region: Vec<f64>,
    canvas: Vec<f64>,
    line: f64,
}

async fn boxes(browser: &Browser) -> Boxes {
    let value: Value = browser.value(BOXES).await;
    let [picture, region, canvas, line]: [Vec<f64>; 4] = serde_json::from_value(value).expect("are boxes");
    Boxes { picture, region, canvas, line: line[0] }
}

impl Boxes {
    /// Where the region lies in the picture.
    fn within(&self) -> [f64; 4] {
        let [px, py, pw, ph] = self.picture[..] else { panic!("a box") };
        let [x, y, w, h] = self.region[..] else { panic!("a box") };
        [(x - px) / pw, (y - py) / ph, w / pw, h / ph]
    }
}

fn is_near(a: &[f64], b: &[f64], tolerance: f64) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance)
}

#[tokio::test]
async fn a_picture_is_enlarged_and_moved_with_its_regions() {
    const REGION: [f64; 4] = [0.6, 0.5, 0.8, 0.9];
    let archive = Archive::with_made(vec![Made {
        size: (1200, 800),
        ..made("a.png", vec![object("cup", 0.9, REGION)])
    }])
    .await;
    let browser = begin(&archive).await;
    shows(&browser, "a.png", "cup").await;
    browser.until("document.querySelector('.picture img').naturalWidth").await;
    let expected = [REGION[0], REGION[1], REGION[2] - REGION[0], REGION[3] - REGION[1]];
    let fitting = boxes(&browser).await;
    let holds = |boxes: &Boxes| {
        assert!(is_near(&boxes.within(), &expected, 0.012), "{:?} is not {expected:?}", boxes.within());
        assert!((boxes.line - fitting.line).abs() < f64::EPSILON, "lines are as thin as before");
    };
    holds(&fitting);

    // The keys, about the middle.
    browser.press("++").await;
    let larger = boxes(&browser).await;
    holds(&larger);
    assert!((larger.picture[2] / fitting.picture[2] - 2.25).abs() < 0.02, "{:?}", larger.picture);
    browser.press("-").await;
    assert!((boxes(&browser).await.picture[2] / fitting.picture[2] - 1.5).abs() < 0.02);
    browser.press("0").await;
    assert_eq!(boxes(&browser).await.picture, fitting.picture);

    // The wheel: what is under the pointer stays there.
    let [rx, ry, rw, rh] = fitting.region[..] else { panic!("a box") };
    let at = (rx + rw / 2.0, ry + rh / 2.0);
    browser.wheel(at, -600).await;
    browser.until("document.getElementById('canvas').classList.contains('zoomed')").await;
    let wheeled = boxes(&browser).await;
    holds(&wheeled);
    assert!(wheeled.picture[2] > 1.5 * fitting.picture[2]);
    let [x, y, w, h] = wheeled.region[..] else { panic!("a box") };
    let moved = [x + w / 2.0 - at.0, y + h / 2.0 - at.1];
    assert!(is_near(&moved, &[0.0, 0.0], 3.0), "the region moved by {moved:?}");

    // Dragging moves it as far as the pointer, and is not a click.
    browser.press("++").await;
    let before = boxes(&browser).await;
    let middle = (before.canvas[0] + before.canvas[2] / 2.0, before.canvas[1] + before.canvas[3] / 2.0);
    browser.drag(middle, (middle.0 + 60.0, middle.1 + 40.0)).await;
    let after = boxes(&browser).await;
    holds(&after);
    let moved = [after.picture[0] - before.picture[0], after.picture[1] - before.picture[1]];
    assert!(is_near(&moved, &[60.0, 40.0], 2.0), "moved by {moved:?}");
    // Not further than to its edge.
    browser.drag(middle, (middle.0 + 400.0, middle.1 + 250.0)).await;
    browser.drag(middle, (middle.0 + 400.0, middle.1 + 250.0)).await;
    browser.drag(middle, (middle.0 + 400.0, middle.1 + 250.0)).await;
    browser.drag(middle, (middle.0 + 400.0, middle.1 + 250.0)).await;
    let edge = boxes(&browser).await;
    assert!(is_near(&edge.picture[..2], &edge.canvas[..2], 2.0), "{:?} {:?}", edge.picture, edge.canvas);
    holds(&edge);

    // A double click goes back, and to the picture's own pixels.
    browser.double_click(middle).await;
    assert_eq!(boxes(&browser).await.picture, fitting.picture);
    browser.double_click(middle).await;
    browser.until("document.getElementById('canvas').classList.contains('zoomed')").await;
    holds(&boxes(&browser).await);
    browser.click("#zoom-fit").await;
    assert_eq!(boxes(&browser).await.picture, fitting.picture);
    browser.close().await;
}

#[tokio::test]
async fn a_large_picture_becomes_sharp() {
    let large = Made { size: (3000, 2000), ..made("a.png", vec![object("cup", 0.9, [0.1, 0.1, 0.2, 0.2])]) };
    let archive = Archive::with_made(vec![large]).await;
    let browser = begin(&archive).await;
    shows(&browser, "a.png", "cup").await;
    browser.until("document.querySelector('.picture img').naturalWidth === 800").await;
    browser.press("+++").await;
    browser.until("document.querySelector('.picture img').naturalWidth === 2400").await;
    // Where its own pixels are shown, nothing is left to be had.
    browser.press("++++").await;
    browser.until("document.querySelector('.picture img').naturalWidth === 3000").await;
    browser.press("0").await;
    assert_eq!(browser.value("document.querySelector('.picture img').naturalWidth").await, json!(3000));
    browser.close().await;
}
