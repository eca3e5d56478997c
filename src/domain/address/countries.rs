//! Countries: calling codes, and the ISO 3166 codes that WhatsApp's user ids begin with.
//!
//! Source: ITU-T E.164 and the metadata of Google's libphonenumber (9.0.43).

/// Each calling code with the ISO 3166 alpha-2 codes that share it, in the order of the codes.
const COUNTRIES: &str = "1:AGAIASBBBMBSCADMDOGDGUJMKNKYLCMPMSPRSXTCTTUSVCVGVI 7:KZRU 20:EG 27:ZA 30:GR 31:NL \
32:BE 33:FR 34:ES 36:HU 39:ITVA 40:RO 41:CH 43:AT 44:GBGGIMJE 45:DK 46:SE 47:NOSJ 48:PL 49:DE 51:PE 52:MX 53:CU \
54:AR 55:BR 56:CL 57:CO 58:VE 60:MY 61:AUCCCX 62:ID 63:PH 64:NZ 65:SG 66:TH 81:JP 82:KR 84:VN 86:CN 90:TR 91:IN \
92:PK 93:AF 94:LK 95:MM 98:IR 211:SS 212:EHMA 213:DZ 216:TN 218:LY 220:GM 221:SN 222:MR 223:ML 224:GN 225:CI \
226:BF 227:NE 228:TG 229:BJ 230:MU 231:LR 232:SL 233:GH 234:NG 235:TD 236:CF 237:CM 238:CV 239:ST 240:GQ 241:GA \
242:CG 243:CD 244:AO 245:GW 246:IO 247:AC 248:SC 249:SD 250:RW 251:ET 252:SO 253:DJ 254:KE 255:TZ 256:UG 257:BI \
258:MZ 260:ZM 261:MG 262:REYT 263:ZW 264:NA 265:MW 266:LS 267:BW 268:SZ 269:KM 290:SHTA 291:ER 297:AW 298:FO \
299:GL 350:GI 351:PT 352:LU 353:IE 354:IS 355:AL 356:MT 357:CY 358:AXFI 359:BG 370:LT 371:LV 372:EE 373:MD 374:AM \
375:BY 376:AD 377:MC 378:SM 380:UA 381:RS 382:ME 383:XK 385:HR 386:SI 387:BA 389:MK 420:CZ 421:SK 423:LI 500:FK \
501:BZ 502:GT 503:SV 504:HN 505:NI 506:CR 507:PA 508:PM 509:HT 590:BLGPMF 591:BO 592:GY 593:EC 594:GF 595:PY \
596:MQ 597:SR 598:UY 599:BQCW 670:TL 672:NF 673:BN 674:NR 675:PG 676:TO 677:SB 678:VU 679:FJ 680:PW 681:WF 682:CK \
683:NU 685:WS 686:KI 687:NC 688:TV 689:PF 690:TK 691:FM 692:MH 800: 808: 850:KP 852:HK 853:MO 855:KH 856:LA 870: \
878: 880:BD 881: 882: 883: 886:TW 888: 960:MV 961:LB 962:JO 963:SY 964:IQ 965:KW 966:SA 967:YE 968:OM 970:PS 971:AE \
972:IL 973:BH 974:QA 975:BT 976:MN 977:NP 979: 992:TJ 993:TM 994:AZ 995:GE 996:KG 998:UZ";

/// Calling codes with numbers that may begin with 0 in international notation. After other codes, a 0 is the trunk
/// prefix of national notation.
const ZERO_KEPT: [u16; 10] = [39, 225, 226, 229, 241, 242, 250, 378, 881, 992];

fn entries() -> impl Iterator<Item = (&'static str, &'static str)> {
    COUNTRIES.split(' ').filter_map(|entry| entry.split_once(':'))
}

/// The calling code at the beginning of an international number; `None` if it is not assigned. No calling code is a
/// prefix of another.
pub(super) fn calling_code(digits: &str) -> Option<&'static str> {
    entries().map(|(code, _)| code).find(|code| digits.starts_with(code))
}

/// The calling code of a country by its ISO 3166 alpha-2 code in upper case.
pub(super) fn of_country(alpha_2: &str) -> Option<u16> {
    let is_of = |countries: &str| {
        countries.as_bytes().as_chunks::<2>().0.iter().any(|known| known == alpha_2.as_bytes())
    };
    entries().find(|(_, countries)| is_of(countries))?.0.parse().ok()
}

/// Whether a number with that calling code may begin with 0 behind it.
pub(super) fn keeps_zero(calling_code: &str) -> bool {
    calling_code.parse().is_ok_and(|code| ZERO_KEPT.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calling_code_is_found_by_number_and_by_country() {
        for (digits, code) in [
            ("15551234567", Some("1")),
            ("447911123456", Some("44")),
            ("22961234567", Some("229")),
            ("21012345678", None),
            ("0044", None),
            ("", None),
        ] {
            assert_eq!(calling_code(digits), code, "{digits}");
        }
        for (country, code) in [
            ("US", Some(1)),
            ("CA", Some(1)),
            ("BJ", Some(229)),
            ("ZZ", None),
            ("", None),
            ("U", None),
        ] {
            assert_eq!(of_country(country), code, "{country}");
        }
    }

    #[test]
    fn no_calling_code_begins_another() {
        for (code, _) in entries() {
            assert_eq!(calling_code(code), Some(code));
        }
    }
}
