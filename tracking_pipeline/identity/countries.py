"""Which country a text names: ISO 3166-1 codes and names in common languages.

The table holds, for each alpha-2 code, its alpha-3 code and its names (English, German, French,
Spanish, Italian, Portuguese, Dutch and the country's own languages, from Unicode CLDR and
ISO 3166-1, and the everyday aliases people type), folded by `text.fold`. `UK`, `EL` and
`XK` are not ISO codes; they are what people and the EU write.
"""

from __future__ import annotations

from functools import lru_cache

from tracking_pipeline.identity.hashing import sha256_hex
from tracking_pipeline.identity.text import fold

_NAMES_BY_CODE: dict[str, str] = {
    "AD": "and andorra andorre principalityofandorra",
    "AE": (
        "are unitedarabemirates vereinigtearabischeemirate emiratsarabesunis "
        "emiratosarabesunidos emiratiarabiuniti emiradosarabesunidos verenigdearabischeemiraten "
        "الاماراتالعربيةالمتحدة uae emirates vae eau"
    ),
    "AF": "afg afghanistan afganistan afeganistao افغانستان islamicrepublicofafghanistan",
    "AG": (
        "atg antiguabarbuda antiguaundbarbuda antiguaetbarbuda antiguaybarbuda antiguaebarbuda "
        "antiguaenbarbuda antiguaandbarbuda antigua"
    ),
    "AI": "aia anguilla anguila",
    "AL": "alb albania albanien albanie shqiperi republicofalbania",
    "AM": "arm armenia armenien armenie հայաստան republicofarmenia",
    "AO": "ago angola republicofangola",
    "AQ": "ata antarctica antarktis antarctique antartida antartide",
    "AR": "arg argentina argentinien argentine argentinie argentinerepublic",
    "AS": (
        "asm americansamoa amerikanischsamoa samoaamericaines samoaamericana samoaamericane "
        "amerikaanssamoa"
    ),
    "AT": "aut austria osterreich autriche oostenrijk republicofaustria oesterreich",
    "AU": "aus australia australien australie",
    "AW": "abw aruba",
    "AX": "ala alandislands alandinseln ilesaland islasaland isolealand ilhasaland aland",
    "AZ": (
        "aze azerbaijan aserbaidschan azerbaidjan azerbaiyan azerbaigian azerbaijao "
        "azerbeidzjan azərbaycan азәрбајҹан republicofazerbaijan"
    ),
    "BA": (
        "bih bosniaherzegovina bosnienundherzegowina bosnieherzegovine bosniayherzegovina "
        "bosniaederzegovina bosniaeherzegovina bosnieenherzegovina боснаихерцеговина "
        "bosnaihercegovina bosniaandherzegovina republicofbosniaandherzegovina bosnia"
    ),
    "BB": "brb barbados barbade",
    "BD": "bgd bangladesh bangladesch banglades বলদশ peoplesrepublicofbangladesh",
    "BE": "bel belgium belgien belgique belgica belgio belgie kingdomofbelgium",
    "BF": "bfa burkinafaso burquinafaso",
    "BG": "bgr bulgaria bulgarien bulgarie bulgarije българия republicofbulgaria",
    "BH": "bhr bahrain bahrein barein البحرين kingdomofbahrain",
    "BI": "bdi burundi uburundi republicofburundi",
    "BJ": "ben benin republicofbenin",
    "BL": "blm stbarthelemy saintbarthelemy sanbartolome saobartolomeu",
    "BM": "bmu bermuda bermudes bermudas",
    "BN": "brn brunei bruneidarussalam بروني",
    "BO": "bol bolivia bolivien bolivie boliviaplurinationalstateof plurinationalstateofbolivia",
    "BQ": (
        "bes caribbeannetherlands karibischeniederlande paysbascaribeens caribeneerlandes "
        "caraibiolandesi paisesbaixoscaribenhos caribischnederland bonairesinteustatiusandsaba "
        "bonaire"
    ),
    "BR": "bra brazil brasilien bresil brasil brasile brazilie federativerepublicofbrazil",
    "BS": "bhs bahamas commonwealthofthebahamas",
    "BT": "btn bhutan bhoutan butan butao འབག kingdomofbhutan",
    "BV": "bvt bouvetisland bouvetinsel ilebouvet islabouvet isolabouvet ilhabouvet bouveteiland",
    "BW": "bwa botswana botsuana republicofbotswana",
    "BY": (
        "blr belarus bielorussie bielorrusia bielorussia bielorrussia беларусь "
        "republicofbelarus weissrussland"
    ),
    "BZ": "blz belize belice",
    "CA": "can canada kanada канада 加拿大 カナタ 캐나다",
    "CC": (
        "cck cocoskeelingislands cocosislands kokosinseln ilescocos islascocos "
        "isolecocoskeeling isolecocos ilhascocoskeeling ilhascocos cocoseilanden"
    ),
    "CD": (
        "cod congokinshasa kongokinshasa republicademocraticadelcongo "
        "congothedemocraticrepublicofthe drcongo drc zaire democraticrepublicofcongo congodrc"
    ),
    "CF": (
        "caf centralafricanrepublic zentralafrikanischerepublik republiquecentrafricaine "
        "republicacentroafricana repubblicacentrafricana centraalafrikaanserepubliek "
        "kodorosesetibeafrika"
    ),
    "CG": (
        "cog congobrazzaville kongobrazzaville congo republicadocongo republicofthecongo "
        "republicofcongo congorepublic"
    ),
    "CH": (
        "che switzerland schweiz suisse suiza svizzera suica zwitserland swissconfederation "
        "svizra szwajcaria швеицария 瑞士 スイス"
    ),
    "CI": "civ cotedivoire costadavorio costadomarfim ivoorkust republicofcotedivoire ivorycoast",
    "CK": "cok cookislands cookinseln ilescook islascook isolecook ilhascook cookeilanden",
    "CL": "chl chile chili cile republicofchile",
    "CM": "cmr cameroon kamerun cameroun camerun camaroes kameroen republicofcameroon",
    "CN": "chn china chine cina 中国 peoplesrepublicofchina prc mainlandchina китаи 中國 중국",
    "CO": "col colombia kolumbien colombie republicofcolombia",
    "CR": "cri costarica republicofcostarica",
    "CU": "cub cuba kuba republicofcuba",
    "CV": "cpv capeverde caboverde capvert capoverde kaapverdie republicofcaboverde",
    "CW": "cuw curacao curazao",
    "CX": (
        "cxr christmasisland weihnachtsinsel ilechristmas isladenavidad isolachristmas "
        "ilhachristmas christmaseiland"
    ),
    "CY": "cyp cyprus zypern chypre chipre cipro κυπροσ kıbrıs republicofcyprus",
    "CZ": (
        "cze czechia tschechien tchequie chequia cechia tchequia tsjechie cesko czechrepublic "
        "cechy tschechischerepublik republiquetcheque republicacheca"
    ),
    "DE": (
        "deu germany deutschland allemagne alemania germania alemanha duitsland "
        "federalrepublicofgermany niemcy германия 德国 德國 トイツ 독일 tyskland almanya brd"
    ),
    "DJ": "dji djibouti dschibuti yibuti gibuti djibuti جيبوتي republicofdjibouti",
    "DK": "dnk denmark danemark dinamarca danimarca denemarken danmark kingdomofdenmark",
    "DM": "dma dominica dominique commonwealthofdominica",
    "DO": (
        "dom dominicanrepublic dominikanischerepublik republiquedominicaine republicadominicana "
        "repubblicadominicana dominicaanserepubliek"
    ),
    "DZ": (
        "dza algeria algerien algerie argelia algerije الجزاير peoplesdemocraticrepublicofalgeria"
    ),
    "EC": "ecu ecuador equateur equador republicofecuador",
    "EE": "est estonia estland estonie eesti republicofestonia",
    "EG": "egy egypt agypten egypte egipto egitto egito مصر arabrepublicofegypt",
    "EH": (
        "esh westernsahara westsahara saharaoccidental saharaoccidentale saaraocidental "
        "westelijkesahara الصحراءالغربية"
    ),
    "ER": "eri eritrea erythree eritreia اريتريا thestateoferitrea",
    "ES": (
        "esp spain spanien espagne espana spagna espanha spanje kingdomofspain hiszpania "
        "испания 西班牙 スヘイン"
    ),
    "ET": "eth ethiopia athiopien ethiopie etiopia ኢትዮጵያ federaldemocraticrepublicofethiopia",
    "FI": "fin finland finnland finlande finlandia suomi republicoffinland",
    "FJ": "fji fiji fidschi fidji fiyi figi republicoffiji",
    "FK": (
        "flk falklandislands falklandinseln ilesmalouines islasmalvinas isolefalkland "
        "ilhasmalvinas falklandeilanden falklandislandsmalvinas"
    ),
    "FM": (
        "fsm micronesia mikronesien micronesie micronesiafederatedstatesof "
        "federatedstatesofmicronesia"
    ),
    "FO": "fro faroeislands faroer ilesferoe islasferoe isolefærøer ilhasfaroe faeroer føroyar",
    "FR": (
        "fra france frankreich francia franca frankrijk frenchrepublic francja франция 法国 "
        "フランス 프랑스 fransa"
    ),
    "GA": "gab gabon gabun gabao gaboneserepublic",
    "GB": (
        "gbr unitedkingdom vereinigteskonigreich royaumeuni reinounido regnounito "
        "verenigdkoninkrijk unitedkingdomofgreatbritainandnorthernireland uk greatbritain "
        "britain england scotland wales northernireland grossbritannien grandebretagne "
        "granbretana grabretanha granbretagna inglaterra angleterre inghilterra grootbrittannie "
        "schottland wielkabrytania великобритания 英国 英國 イキリス 영국"
    ),
    "GD": "grd grenada grenade granada",
    "GE": "geo georgia georgien georgie საქართველო",
    "GF": (
        "guf frenchguiana franzosischguayana guyanefrancaise guayanafrancesa guyanafrancese "
        "guianafrancesa fransguyana"
    ),
    "GG": "ggy guernsey guernesey",
    "GH": "gha ghana gana republicofghana",
    "GI": "gib gibraltar gibilterra",
    "GL": "grl greenland gronland groenland groenlandia kalaallitnunaat",
    "GM": "gmb gambia gambie republicofthegambia",
    "GN": "gin guinea guinee guine republicofguinea",
    "GP": "glp guadeloupe guadalupe guadalupa",
    "GQ": (
        "gnq equatorialguinea aquatorialguinea guineeequatoriale guineaecuatorial "
        "guineaequatoriale guineequatorial equatoriaalguinea republicofequatorialguinea"
    ),
    "GR": "grc greece griechenland grece grecia griekenland ελλαδα hellenicrepublic el hellas",
    "GS": (
        "sgs southgeorgiasouthsandwichislands sudgeorgienunddiesudlichensandwichinseln "
        "georgiedusudetlesilessandwichdusud islasgeorgiadelsurysandwichdelsur "
        "georgiadelsudesandwichaustrali ilhasgeorgiadosulesandwichdosul "
        "zuidgeorgiaenzuidelijkesandwicheilanden southgeorgiaandthesouthsandwichislands"
    ),
    "GT": "gtm guatemala republicofguatemala",
    "GU": "gum guam",
    "GW": "gnb guineabissau guineebissau guineabisau guinebissau republicofguineabissau",
    "GY": "guy guyana guiana republicofguyana",
    "HK": (
        "hkg hongkongsarchina sonderverwaltungsregionhongkong raschinoisedehongkong "
        "raedehongkongchina raedehongkong rasdihongkong hongkongraedachina hongkongsarvanchina "
        "中國香港特別行政區 hongkong hongkongspecialadministrativeregionofchina hongkongsar "
        "hongkongchina"
    ),
    "HM": (
        "hmd heardmcdonaldislands heardundmcdonaldinseln ilesheardetmacdonald "
        "islasheardymcdonald isoleheardemcdonald ilhasheardemcdonald heardenmcdonaldeilanden "
        "heardislandandmcdonaldislands"
    ),
    "HN": "hnd honduras republicofhonduras",
    "HR": "hrv croatia kroatien croatie croacia croazia kroatie hrvatska republicofcroatia",
    "HT": "hti haiti republicofhaiti",
    "HU": "hun hungary ungarn hongrie hungria ungheria hongarije magyarorszag",
    "ID": "idn indonesia indonesien indonesie republicofindonesia",
    "IE": "irl ireland irland irlande irlanda ierland eire republicofireland southernireland",
    "IL": "isr israel israele ישראל اسراييل stateofisrael",
    "IM": "imn isleofman iledeman islademan isoladiman ilhademan ellanvannin",
    "IN": "ind india indien inde भरत republicofindia bharat",
    "IO": (
        "iot britishindianoceanterritory britischesterritoriumimindischenozean "
        "territoirebritanniquedeloceanindien territoriobritanicodeloceanoindico "
        "territoriobritannicodelloceanoindiano territoriobritanicodooceanoindico "
        "britsindischeoceaanterritorium"
    ),
    "IQ": "irq iraq irak iraque العراق republicofiraq",
    "IR": "irn iran ira ایران iranislamicrepublicof islamicrepublicofiran persia",
    "IS": "isl iceland island islande islandia islanda ijsland republicoficeland",
    "IT": "ita italy italien italie italia italianrepublic wlochy италия 意大利 イタリア",
    "JE": "jey jersey",
    "JM": "jam jamaica jamaika jamaique giamaica",
    "JO": "jor jordan jordanien jordanie jordania giordania الاردن hashemitekingdomofjordan",
    "JP": "jpn japan japon giappone japao 日本 日本国 일본 япония nippon",
    "KE": "ken kenya kenia quenia republicofkenya",
    "KG": (
        "kgz kyrgyzstan kirgisistan kirghizstan kirguistan kirghizistan quirguistao kirgizie "
        "кыргызстан киргизия kyrgyzrepublic"
    ),
    "KH": (
        "khm cambodia kambodscha cambodge camboya cambogia camboja cambodja កមពជ kingdomofcambodia"
    ),
    "KI": "kir kiribati quiribati republicofkiribati",
    "KM": "com comoros komoren comores comoras comore comoren جزرالقمر unionofthecomoros",
    "KN": (
        "kna stkittsnevis stkittsundnevis saintchristopheetnieves sancristobalynieves "
        "saintkittsenevis saocristovaoenevis saintkittsennevis saintkittsandnevis stkitts "
        "stkittsandnevis"
    ),
    "KP": (
        "prk northkorea nordkorea coreedunord coreadelnorte coreadelnord coreiadonorte "
        "noordkorea 북한 koreademocraticpeoplesrepublicof democraticpeoplesrepublicofkorea dprk"
    ),
    "KR": (
        "kor southkorea sudkorea coreedusud coreadelsur coreadelsud coreiadosul zuidkorea "
        "대한민국 korearepublicof korea republicofkorea rok"
    ),
    "KW": "kwt kuwait koweit koeweit الكويت stateofkuwait",
    "KY": (
        "cym caymanislands kaimaninseln ilescaimans islascaiman isolecayman ilhascayman "
        "kaaimaneilanden"
    ),
    "KZ": (
        "kaz kazakhstan kasachstan kazajistan kazakistan cazaquistao kazachstan казахстан "
        "қазақстан republicofkazakhstan"
    ),
    "LA": "lao laos ລາວ laopeoplesdemocraticrepublic",
    "LB": "lbn lebanon libanon liban libano لبنان lebaneserepublic",
    "LC": "lca stlucia saintelucie santalucia saintlucia",
    "LI": "lie liechtenstein principalityofliechtenstein",
    "LK": "lka srilanka ශරලකව இலஙக democraticsocialistrepublicofsrilanka",
    "LR": "lbr liberia republicofliberia",
    "LS": "lso lesotho lesoto kingdomoflesotho",
    "LT": "ltu lithuania litauen lituanie lituania litouwen lietuva republicoflithuania",
    "LU": "lux luxembourg luxemburg luxemburgo lussemburgo letzebuerg grandduchyofluxembourg",
    "LV": "lva latvia lettland lettonie letonia lettonia letland latvija republicoflatvia",
    "LY": "lby libya libyen libye libia libie ليبيا",
    "MA": "mar morocco marokko maroc marruecos marocco marrocos المغرب merruk kingdomofmorocco",
    "MC": "mco monaco principalityofmonaco",
    "MD": (
        "mda moldova republikmoldau moldavie moldavia republicamoldova moldovarepublicof "
        "republicofmoldova"
    ),
    "ME": "mne montenegro crnagora",
    "MF": "maf stmartin saintmartin sanmartin saomartinho saintmartinfrenchpart",
    "MG": "mdg madagascar madagaskar madagasikara republicofmadagascar",
    "MH": (
        "mhl marshallislands marshallinseln ilesmarshall islasmarshall isolemarshall "
        "ilhasmarshall marshalleilanden republicofthemarshallislands"
    ),
    "MK": (
        "mkd northmacedonia nordmazedonien macedoinedunord macedoniadelnorte macedoniadelnord "
        "macedoniadonorte noordmacedonie севернамакедонија republicofnorthmacedonia macedonia "
        "fyrom"
    ),
    "ML": "mli mali republicofmali",
    "MM": (
        "mmr myanmarburma myanmar myanmarbirmanie myanmarbirmania mianmarbirmania mianmar "
        "myanmarbirma မနမ republicofmyanmar burma"
    ),
    "MN": "mng mongolia mongolei mongolie монгол",
    "MO": (
        "mac macaosarchina sonderverwaltungsregionmacau raschinoisedemacao raedemacaochina "
        "raedemacao rasdimacao macauraedachina macausarvanchina 中國澳門特別行政區 macao "
        "macaospecialadministrativeregionofchina macau macaosar"
    ),
    "MP": (
        "mnp northernmarianaislands nordlichemarianen ilesmariannesdunord islasmarianasdelnorte "
        "isolemariannesettentrionali ilhasmarianasdonorte noordelijkemarianen "
        "commonwealthofthenorthernmarianaislands"
    ),
    "MQ": "mtq martinique martinica",
    "MR": "mrt mauritania mauretanien mauritanie موريتانيا islamicrepublicofmauritania",
    "MS": "msr montserrat",
    "MT": "mlt malta malte republicofmalta",
    "MU": "mus mauritius maurice mauricio republicofmauritius",
    "MV": "mdv maldives malediven maldivas maldive maldiven ދވހރއޖ republicofmaldives",
    "MW": "mwi malawi malaui republicofmalawi",
    "MX": "mex mexico mexiko mexique messico unitedmexicanstates mejico",
    "MY": "mys malaysia malaisie malasia maleisie",
    "MZ": "moz mozambique mosambik mozambico mocambique republicofmozambique",
    "NA": "nam namibia namibie republicofnamibia",
    "NC": (
        "ncl newcaledonia neukaledonien nouvellecaledonie nuevacaledonia nuovacaledonia "
        "novacaledonia nieuwcaledonie"
    ),
    "NE": "ner niger republicoftheniger",
    "NF": "nfk norfolkisland norfolkinsel ilenorfolk islanorfolk isolanorfolk ilhanorfolk norfolk",
    "NG": "nga nigeria naijiria federalrepublicofnigeria",
    "NI": "nic nicaragua republicofnicaragua",
    "NL": (
        "nld netherlands niederlande paysbas paisesbajos paesibassi paisesbaixos nederland "
        "kingdomofthenetherlands holland olanda holanda holandia"
    ),
    "NO": "nor norway norwegen norvege noruega norvegia noorwegen norge noreg kingdomofnorway",
    "NP": "npl nepal नपल federaldemocraticrepublicofnepal",
    "NR": "nru nauru republicofnauru",
    "NU": "niu niue",
    "NZ": (
        "nzl newzealand neuseeland nouvellezelande nuevazelanda nuovazelanda novazelandia "
        "nieuwzeeland aotearoa"
    ),
    "OM": "omn oman oma عمان sultanateofoman",
    "PA": "pan panama republicofpanama",
    "PE": "per peru perou republicofperu",
    "PF": (
        "pyf frenchpolynesia franzosischpolynesien polynesiefrancaise polinesiafrancesa "
        "polinesiafrancese franspolynesie"
    ),
    "PG": (
        "png papuanewguinea papuaneuguinea papouasienouvelleguinee papuanuevaguinea "
        "papuanuovaguinea papuanovaguine papoeanieuwguinea papuaniugini "
        "independentstateofpapuanewguinea"
    ),
    "PH": (
        "phl philippines philippinen filipinas filippine filipijnen pilipinas "
        "republicofthephilippines thephilippines"
    ),
    "PK": "pak pakistan paquistao پاکستان islamicrepublicofpakistan",
    "PL": "pol poland polen pologne polonia polska republicofpoland польша",
    "PM": (
        "spm stpierremiquelon stpierreundmiquelon saintpierreetmiquelon sanpedroymiquelon "
        "saintpierreemiquelon saopedroemiquelao saintpierreenmiquelon saintpierreandmiquelon"
    ),
    "PN": (
        "pcn pitcairnislands pitcairninseln ilespitcairn islaspitcairn isolepitcairn "
        "ilhaspitcairn pitcairneilanden pitcairn"
    ),
    "PR": "pri puertorico portorico",
    "PS": (
        "pse palestinianterritories palastinensischeautonomiegebiete territoirespalestiniens "
        "territoriospalestinos territoripalestinesi palestijnsegebieden الاراضيالفلسطينية "
        "palestinestateof palestine thestateofpalestine palestinianterritory"
    ),
    "PT": "prt portugal portogallo portugueserepublic",
    "PW": "plw palau palaos republicofpalau",
    "PY": "pry paraguay paraguai republicofparaguay",
    "QA": "qat qatar katar catar قطر stateofqatar",
    "RE": "reu reunion lareunion riunione reuniao",
    "RO": "rou romania rumanien roumanie rumania romenia roemenie",
    "RS": "srb serbia serbien serbie servia servie srbija србија republicofserbia",
    "RU": (
        "rus russia russland russie rusia rusland россия russianfederation federacionrusa "
        "russianfed"
    ),
    "RW": "rwa rwanda ruanda urwanda rwandeserepublic",
    "SA": (
        "sau saudiarabia saudiarabien arabiesaoudite arabiasaudi arabiasaudita saoediarabie "
        "المملكةالعربيةالسعودية kingdomofsaudiarabia ksa"
    ),
    "SB": (
        "slb solomonislands salomonen ilessalomon islassalomon isolesalomone ilhassalomao "
        "salomonseilanden"
    ),
    "SC": "syc seychelles seychellen seicheles republicofseychelles",
    "SD": "sdn sudan soudan sudao soedan السودان republicofthesudan",
    "SE": "swe sweden schweden suede suecia svezia zweden sverige kingdomofsweden",
    "SG": "sgp singapore singapur singapour singapura 新加坡 சஙகபபர republicofsingapore",
    "SH": (
        "shn sthelena saintehelene santaelena santelena santahelena sinthelena "
        "sainthelenaascensionandtristandacunha sainthelena"
    ),
    "SI": "svn slovenia slowenien slovenie eslovenia slovenija republicofslovenia",
    "SJ": (
        "sjm svalbardjanmayen spitzbergenundjanmayen svalbardetjanmayen svalbardyjanmayen "
        "svalbardejanmayen spitsbergenenjanmayen svalbardogjanmayen svalbardandjanmayen"
    ),
    "SK": (
        "svk slovakia slowakei slovaquie eslovaquia slovacchia slowakije slovensko slovakrepublic"
    ),
    "SL": "sle sierraleone sierraleona serraleoa republicofsierraleone",
    "SM": "smr sanmarino saintmarin republicofsanmarino",
    "SN": "sen senegal republicofsenegal",
    "SO": "som somalia somalie soomaaliya الصومال federalrepublicofsomalia",
    "SR": "sur suriname surinam republicofsuriname",
    "SS": (
        "ssd southsudan sudsudan soudandusud sudandelsur sudaodosul zuidsoedan republicofsouthsudan"
    ),
    "ST": (
        "stp saotomeprincipe saotomeundprincipe saotomeetprincipe santotomeyprincipe "
        "saotomeeprincipe saotomeenprincipe saotomeandprincipe "
        "democraticrepublicofsaotomeandprincipe"
    ),
    "SV": "slv elsalvador salvador republicofelsalvador",
    "SX": "sxm sintmaarten saintmartinpartieneerlandaise sintmaartendutchpart",
    "SY": "syr syria syrien syrie siria سوريا syrianarabrepublic",
    "SZ": "swz eswatini esuatini essuatini kingdomofeswatini swaziland",
    "TC": (
        "tca turkscaicosislands turksundcaicosinseln ilesturquesetcaiques islasturcasycaicos "
        "isoleturksecaicos ilhasturcasecaicos turksencaicoseilanden turksandcaicosislands"
    ),
    "TD": "tcd chad tschad tchad ciad chade tsjaad تشاد republicofchad",
    "TF": (
        "atf frenchsouthernterritories franzosischesudundantarktisgebiete "
        "terresaustralesfrancaises territoriosaustralesfranceses terreaustralifrancesi "
        "territoriosfrancesesdosul fransegebiedenindezuidelijkeindischeoceaan"
    ),
    "TG": "tgo togo togoleserepublic",
    "TH": "tha thailand thailande tailandia thailandia ไทย kingdomofthailand",
    "TJ": (
        "tjk tajikistan tadschikistan tadjikistan tayikistan tagikistan tadjiquistao "
        "tadzjikistan тоҷикистон republicoftajikistan"
    ),
    "TK": "tkl tokelau",
    "TL": (
        "tls timorleste timororiental timorest oosttimor democraticrepublicoftimorleste easttimor"
    ),
    "TM": "tkm turkmenistan turcomenistao",
    "TN": "tun tunisia tunesien tunisie tunez tunesie تونس republicoftunisia",
    "TO": "ton tonga kingdomoftonga",
    "TR": "tur turkiye turkei turquie turquia turchia turkije republicofturkiye turkey",
    "TT": (
        "tto trinidadtobago trinidadundtobago triniteettobago trinidadytobago trinidadetobago "
        "trinidadentobago trinidadandtobago republicoftrinidadandtobago trinidad"
    ),
    "TV": "tuv tuvalu",
    "TW": "twn taiwan 台灣 taiwanprovinceofchina republicofchina roc taiwanchina",
    "TZ": "tza tanzania tansania tanzanie tanzaniaunitedrepublicof unitedrepublicoftanzania",
    "UA": "ukr ukraine ucrania ucraina oekraine украіна украина",
    "UG": "uga uganda ouganda oeganda republicofuganda",
    "UM": (
        "umi usoutlyingislands amerikanischeuberseeinseln ilesmineureseloigneesdesetatsunis "
        "islasmenoresalejadasdeeeuu isoleminoriesternedeglistatiuniti "
        "ilhasmenoresdistantesdoseua kleineafgelegeneilandenvandeverenigdestaten "
        "unitedstatesminoroutlyingislands"
    ),
    "US": (
        "usa unitedstates vereinigtestaaten etatsunis estadosunidos statiuniti verenigdestaten "
        "unitedstatesofamerica america usofa etatsunisdamerique estadosunidosdeamerica "
        "statiunitidamerica vereinigtestaatenvonamerika eeuu eua stanyzjednoczone сша "
        "соединенныештаты 美国 美國 アメリカ アメリカ合衆国 米国 미국"
    ),
    "UY": "ury uruguay uruguai easternrepublicofuruguay",
    "UZ": (
        "uzb uzbekistan usbekistan ouzbekistan uzbequistao oezbekistan ozbekiston узбекистон "
        "republicofuzbekistan"
    ),
    "VA": (
        "vat vaticancity vatikanstadt etatdelaciteduvatican ciudaddelvaticano cittadelvaticano "
        "cidadedovaticano vaticaanstad holyseevaticancitystate vatican holysee"
    ),
    "VC": (
        "vct stvincentgrenadines stvincentunddiegrenadinen saintvincentetlesgrenadines "
        "sanvicenteylasgranadinas saintvincentegrenadine saovicenteegranadinas "
        "saintvincentendegrenadines saintvincentandthegrenadines stvincent "
        "stvincentandthegrenadines"
    ),
    "VE": "ven venezuela venezuelabolivarianrepublicof bolivarianrepublicofvenezuela",
    "VG": (
        "vgb britishvirginislands britischejungferninseln ilesviergesbritanniques "
        "islasvirgenesbritanicas isoleverginibritanniche ilhasvirgensbritanicas "
        "britsemaagdeneilanden virginislandsbritish"
    ),
    "VI": (
        "vir usvirginislands amerikanischejungferninseln ilesviergesdesetatsunis "
        "islasvirgenesdeeeuu isoleverginiamericane ilhasvirgensamericanas "
        "amerikaansemaagdeneilanden virginislandsus virginislands "
        "virginislandsoftheunitedstates"
    ),
    "VN": "vnm vietnam vietna socialistrepublicofvietnam vietnamsocialistrepublicof",
    "VU": "vut vanuatu republicofvanuatu",
    "WF": (
        "wlf wallisfutuna wallisundfutuna wallisetfutuna wallisyfutuna wallisefutuna "
        "wallisenfutuna wallisandfutuna"
    ),
    "WS": "wsm samoa independentstateofsamoa",
    "YE": "yem yemen jemen iemen اليمن republicofyemen",
    "YT": "myt mayotte",
    "ZA": (
        "zaf southafrica sudafrika afriquedusud sudafrica africadosul zuidafrika "
        "republicofsouthafrica rsa"
    ),
    "ZM": "zmb zambia sambia zambie republicofzambia",
    "ZW": "zwe zimbabwe simbabwe zimbabue republicofzimbabwe",
    "XK": "xkx kosovo kosove косово",
}


@lru_cache(maxsize=1)
def _code_by_name() -> dict[str, str]:
    codes = {code.lower(): code for code in _NAMES_BY_CODE}
    for code, names in _NAMES_BY_CODE.items():
        codes.update(dict.fromkeys(names.split(), code))
    return codes


@lru_cache(maxsize=1)
def _code_by_hash() -> dict[str, str]:
    return {sha256_hex(code.lower()): code for code in _NAMES_BY_CODE}


@lru_cache(maxsize=4096)
def country_code(text: str) -> str | None:
    """Give the upper-case ISO alpha-2 code of a country named by code or by name, else None.

    A SHA-256 hash of a lower-case alpha-2 code (what Meta's `country` holds) is recognised too:
    there are 250 of them, so a hashed payload still says how to read its phone numbers.
    """
    if len(text) == 64:
        return _code_by_hash().get(text.lower())
    folded = fold(text)
    codes = _code_by_name()
    return codes.get(folded) or codes.get(folded.removeprefix("the"))
