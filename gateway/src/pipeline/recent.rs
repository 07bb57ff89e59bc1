//! What a thread remembers of the looks of its requests: a few of them, and seldom a new one.

use std::rc::Rc;

/// What was not known, for each that is learned: learning costs more than reading, and a load of ever other requests must not
/// pay it each time.
pub(super) const MISSES_PER_LEARNED: u32 = 16;

/// A few things, of which each is tried in turn. Those that are found more often are tried sooner.
#[derive(Debug)]
pub(crate) struct Recent<T, const COUNT_MAX: usize> {
    all: Vec<Rc<T>>,
    seldom: Seldom,
}

/// Says yes at first, and then once in a while.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    pause: u32,
}

impl<T, const COUNT_MAX: usize> Default for Recent<T, COUNT_MAX> {
    fn default() -> Self {
        Self { all: Vec::new(), seldom: Seldom::default() }
    }
}

impl<T, const COUNT_MAX: usize> Recent<T, COUNT_MAX> {
    /// The first that is what is looked for, with what `is` says of it.
    pub(crate) fn find<R>(&mut self, mut is: impl FnMut(&T) -> Option<R>) -> Option<(Rc<T>, R)> {
        let mut found = self.all.iter().enumerate();
        let (at, said) = found.find_map(|(at, one)| Some((at, is(one)?)))?;
        if at > 0 {
            self.all.swap(at, at - 1);
        }
        Some((Rc::clone(self.all.get(at.saturating_sub(1))?), said))
    }

    /// Takes another one, if it is time for one and there is one; the last goes where there is no room.
    pub(crate) fn learn(&mut self, make: impl FnOnce() -> Option<T>) {
        if !self.seldom.is_time() {
            return;
        }
        if let Some(one) = make() {
            self.take(one);
        }
    }

    /// Takes another one now.
    pub(crate) fn take(&mut self, one: T) {
        self.all.truncate(COUNT_MAX - 1);
        self.all.push(Rc::new(one));
    }
}

impl Seldom {
    /// Whether it is time.
    pub(crate) const fn is_time(&mut self) -> bool {
        let is_time = self.pause == 0;
        self.pause = if is_time { MISSES_PER_LEARNED - 1 } else { self.pause - 1 };
        is_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(wanted: u32) -> impl Fn(&u32) -> Option<()> {
        move |one| (*one == wanted).then_some(())
    }

    #[test]
    fn one_in_sixteen_is_learned_whether_it_can_be_or_not_and_the_last_goes_for_it() {
        let mut recent = Recent::<u32, 3>::default();
        let mut asked = Vec::new();
        for number in 0..100 {
            recent.learn(|| {
                asked.push(number);
                (number > 0).then_some(number)
            });
        }
        assert_eq!(asked, [0, 16, 32, 48, 64, 80, 96]);
        for (number, is_known) in [(0, false), (16, true), (32, true), (48, false), (96, true)] {
            assert_eq!(recent.find(is(number)).is_some(), is_known, "{number}");
        }
    }

    #[test]
    fn what_is_found_more_often_is_tried_sooner() {
        let mut recent = Recent::<u32, 3>::default();
        (0..33).for_each(|number| recent.learn(|| Some(number)));
        assert!((0..2).all(|_| recent.find(is(32)).is_some()));
        let mut tried = Vec::new();
        let found = recent.find(|one| {
            tried.push(*one);
            None::<()>
        });
        assert_eq!((found, tried), (None, vec![32, 0, 16]));
    }
}
