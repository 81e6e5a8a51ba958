//! A replica as the Lease and the headers between replicas name it.

use http::HeaderValue;

use crate::fleet::election::Holder;

/// Writes a holder as the Lease and headers have it.
pub fn written(holder: &Holder) -> String {
    let Holder { process, pod, address, key } = holder;
    format!("{process}/{pod}/{address}/{key}")
}

/// Reads what [`written`] wrote.
pub fn read(text: &str) -> Option<Holder> {
    let mut parts = text.split('/').map(str::to_owned);
    let (process, pod, address, key) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    parts.next().is_none().then_some(Holder { process, pod, address, key })
}

/// Reads a holder from the value of a header.
pub fn of_header(value: &HeaderValue) -> Option<Holder> {
    read(value.to_str().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_read_as_it_was_written() {
        let part = |text: &str| text.to_owned();
        let holder = Holder { process: part("1f"), pod: part("a-0"), address: part("[::1]:50052"), key: part("00") };
        assert_eq!(read(&written(&holder)), Some(holder));
        for wrong in ["", "somebody", "a/b/c", "a/b/c/d/e"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
