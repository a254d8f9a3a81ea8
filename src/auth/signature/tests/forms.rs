//! The forms of a signature's value, and the bounds on their parts.

use super::*;

#[test]
fn each_form_finds_its_signatures_and_nothing_else() {
    let list = Parse::List { separator: " ".into(), prefix: "v1,".into() };
    let none: &[&[u8]] = &[];
    for (parse, value, expected) in [
        (&Parse::Raw, "01", &[&[1][..]][..]),
        (&Parse::Prefix("v0=".into()), "v0=01", &[&[1]]),
        (&Parse::Prefix("v0=".into()), "V0=01", none),
        (&Parse::Prefix("v0=".into()), "01", none),
        (&pairs("v1"), "t=5,v1=01, v0=02,v1=03", &[&[1], &[3]]),
        (&pairs("v1"), "t=5,,v1=01,", &[&[1]]),
        (&pairs("v1"), "t=5", none),
        (&pairs("v1"), "v1=01,nonsense", none),
        (&pairs("v1"), "", none),
        (&list, "v1,01 v1a,02 v1,03", &[&[1], &[3]]),
        (&list, "v2,01", none),
        (&split(None), "id:01", &[&[1]]),
        (&split(None), "id", none),
        (&split(Some(",")), "a:01, b:02,c", &[&[1], &[2]]),
    ] {
        assert_eq!(signatures(parse, value), expected, "{parse:?} {value}");
    }
}

#[test]
fn very_many_signatures_are_none() {
    let many = |count: usize, one: &str, between: &str| vec![one; count].join(between);
    assert_eq!(signatures(&pairs("v1"), &many(16, "v1=01", ",")).len(), 16);
    assert_eq!(signatures(&pairs("v1"), &many(17, "v1=01", ",")).len(), 0);
    assert_eq!(signatures(&pairs("v1"), &format!("v1=01,{}", many(64, "a=1", ","))).len(), 0);
    let list = Parse::List { separator: " ".into(), prefix: "v1,".into() };
    assert_eq!(signatures(&list, &many(17, "v1,01", " ")).len(), 0);
    assert_eq!(signatures(&split(Some(",")), &many(99, "a:01", ",")).len(), 16);
}

/// Of two parts with one name, the upstream's parser might use the other one.
#[test]
fn of_two_parts_of_one_name_none_counts() {
    let mut policy = policy(&["part:t", "body"]);
    policy.parse = pairs("v1");
    let evaluate = |value: String| evaluate(&policy, &[("x-sig", &value)], b"body");
    let (five, six) = (mac("5.body"), mac("6.body"));
    assert_eq!(evaluate(format!("t=5,v1={five}")), Ok(0));
    assert_eq!(evaluate(format!("t=5,v1=00,v1={five}")), Ok(0));
    for value in [format!("t=5,t=6,v1={five}"), format!("t=5,t=6,v1={six}"), format!("t=5,t=5,v1={five}")] {
        assert_eq!(evaluate(value.clone()), BAD, "{value}");
    }
    for value in [format!("v1={five}"), format!("T=5,v1={five}")] {
        assert_eq!(evaluate(value.clone()), Err(Reason::MissingSignedComponent), "{value}");
    }
}

#[test]
fn a_value_of_a_pair_may_contain_the_separator() {
    let value = &pairs("v1").read("t=a=b,v1=YQ==")[0];
    assert_eq!((value.part("t"), value.decoded(Encoding::Base64)), (Some("a=b"), vec![b"a".to_vec()]));
}

/// `1659641851,old,new`: Recurly signs with the previous key, too, for a day after a rotation.
#[test]
fn all_fields_from_an_index_on_may_be_signatures() {
    let mut policy = policy(&["part:0", "body"]);
    policy.parse = Parse::Rest { separator: ",".into(), index: 1 };
    let good = mac("17.body");
    for value in [format!("17,{good}"), format!("17,{},{good}", mac("x")), format!("17,{good},{}", mac("x"))] {
        assert_eq!(evaluate(&policy, &[("x-sig", &value)], b"body"), Ok(0), "{value}");
    }
    for value in [format!("18,{good}"), good.clone(), "17".to_owned(), format!("17{}", format!(",{good}").repeat(17))] {
        assert_eq!(evaluate(&policy, &[("x-sig", &value)], b"body"), BAD, "{value}");
    }
}

/// A value beyond the bound is not read, so that a long header does not cost more.
#[test]
fn very_many_parts_are_not_read() {
    let last =
        |before: usize, prefix: &str, between: &str| format!("{}{prefix}01", format!("a{between}").repeat(before));
    let list = Parse::List { separator: " ".into(), prefix: "v1,".into() };
    let fields = |index| Parse::Split { separator: ":".into(), index, list: None };
    assert_eq!(signatures(&list, &last(63, "v1,", " ")).len(), 1);
    assert_eq!(signatures(&list, &last(64, "v1,", " ")).len(), 0);
    assert_eq!(signatures(&fields(63), &last(63, "", ":")).len(), 1);
    assert_eq!(signatures(&fields(64), &last(64, "", ":")).len(), 0);
}
