//! The demo class of `make run`: thirty invented students.

use classroom_protocol::Seat;

use super::Student;

/// Its name.
pub const CLASS_NAME: &str = "五年三班（示範）";

const NAMES: [&str; 30] = [
    "王小明",
    "李美華",
    "張家豪",
    "陳怡君",
    "林志偉",
    "黃雅婷",
    "吳承恩",
    "劉佳穎",
    "蔡宗翰",
    "楊詩涵",
    "許文彥",
    "鄭心怡",
    "謝宇軒",
    "洪郁婷",
    "郭冠廷",
    "邱佩珊",
    "曾柏翰",
    "廖珮瑜",
    "賴俊宏",
    "徐嘉玲",
    "周品妤",
    "葉子豪",
    "蘇靜宜",
    "莊秉諺",
    "呂欣怡",
    "江孟哲",
    "何思妤",
    "羅翊庭",
    "高振宇",
    "潘語彤",
];

/// The roster, seats 1 to 30.
pub fn students() -> Vec<Student> {
    (1u8..)
        .zip(NAMES)
        .filter_map(|(number, name)| Some(Student { seat: Seat::try_from(number).ok()?, name: name.into() }))
        .collect()
}
