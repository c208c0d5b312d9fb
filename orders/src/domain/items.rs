use std::fmt;

use serde::{Deserialize, Serialize};

/// What is ordered: 1 to 100 texts of 1 to 200 characters each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Items(Vec<String>);

impl Items {
    /// Most items of an order.
    pub const MOST: usize = 100;

    /// Most characters of an item.
    pub const LONGEST: usize = 200;

    /// Takes items, without the white space around each.
    ///
    /// # Errors
    /// Names everything that is wrong with them.
    pub fn parse(raw: &[String]) -> Result<Self, Vec<ItemsError>> {
        let mut errors = Vec::new();
        if raw.is_empty() {
            errors.push(ItemsError::None);
        }
        if raw.len() > Self::MOST {
            errors.push(ItemsError::TooMany);
        }
        let items: Vec<String> = raw.iter().map(|item| item.trim().to_owned()).collect();
        for (index, item) in items.iter().enumerate().take(Self::MOST) {
            if item.is_empty() {
                errors.push(ItemsError::Empty { index });
            } else if item.chars().count() > Self::LONGEST {
                errors.push(ItemsError::TooLong { index });
            }
        }
        if errors.is_empty() { Ok(Self(items)) } else { Err(errors) }
    }
}

/// Why a list is no list of items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemsError {
    /// The list is empty.
    None,
    /// The list has more than [`Items::MOST`] items.
    TooMany,
    /// The item at this index is empty.
    Empty {
        /// Counted from 0.
        index: usize,
    },
    /// The item at this index has more than [`Items::LONGEST`] characters.
    TooLong {
        /// Counted from 0.
        index: usize,
    },
}

impl ItemsError {
    /// The index of the item that is wrong, or `None` where it is the list.
    pub fn index(self) -> Option<usize> {
        match self {
            Self::None | Self::TooMany => None,
            Self::Empty { index } | Self::TooLong { index } => Some(index),
        }
    }
}

impl fmt::Display for ItemsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "must hold at least one item",
            Self::TooMany => "must hold at most 100 items",
            Self::Empty { .. } => "must not be empty",
            Self::TooLong { .. } => "must be at most 200 characters long",
        })
    }
}

impl std::error::Error for ItemsError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(count: usize, item: &str) -> Vec<String> {
        vec![item.to_owned(); count]
    }

    #[test]
    fn an_order_holds_1_to_100_items_of_1_to_200_characters() {
        assert!(Items::parse(&items(1, "book")).is_ok());
        assert!(Items::parse(&items(100, &"ü".repeat(200))).is_ok());
        assert_eq!(Items::parse(&[]), Err(vec![ItemsError::None]));
        assert_eq!(Items::parse(&items(101, "book")), Err(vec![ItemsError::TooMany]));
    }

    #[test]
    fn every_item_that_is_wrong_is_named() {
        let raw = ["book".to_owned(), " ".to_owned(), "x".repeat(201)];

        let errors = Items::parse(&raw);

        assert_eq!(errors, Err(vec![ItemsError::Empty { index: 1 }, ItemsError::TooLong { index: 2 }]));
    }
}
