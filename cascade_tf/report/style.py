"""Looks and behaviour of the page. Nothing is fetched: the fonts are the system's."""

CSS = """
:root{color-scheme:light dark;--bg:#f5f6f8;--card:#fff;--ink:#1a1f29;--soft:#5d6675;--rule:#e3e6eb;
--grid:#e9ecf0;--accent:#0b63ce;--bar:#cfe2fb;--up:#0a7d4f;--down:#b3361f;--s0:#0b63ce;--s1:#d9480f;--s2:#0a8f62;
--s3:#8a3ffc;--s4:#b8860b;--s5:#c2255c}
@media(prefers-color-scheme:dark){:root{--bg:#101318;--card:#181c23;--ink:#e8ebf0;--soft:#99a3b3;--rule:#2a303a;
--grid:#262c35;--accent:#6cb2ff;--bar:#1f3d63;--up:#4cd39a;--down:#ff8d76;--s0:#6cb2ff;--s1:#ff9457;--s2:#43d19a;
--s3:#c09bff;--s4:#f0c03f;--s5:#ff7da8}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--bg);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"DejaVu Sans",sans-serif}
main{max-width:1180px;margin:0 auto;padding:40px 24px 64px}
h1{font-size:clamp(26px,4.4vw,38px);line-height:1.15;letter-spacing:-.02em;margin:0 0 6px}
h2{font-size:22px;letter-spacing:-.01em;margin:48px 0 14px}
h3{font-size:15px;margin:0}
p{margin:0}
.lead{color:var(--soft);max-width:72ch}
.card{background:var(--card);border:1px solid var(--rule);border-radius:12px;padding:18px 20px;margin:0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:14px;margin-top:28px}
.columns{grid-template-columns:repeat(var(--n),minmax(0,1fr))}
.tile b{display:block;font-size:32px;line-height:1.15;font-weight:650;letter-spacing:-.02em;
font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:14px}
.tile small{display:block;font-size:13px;color:var(--soft);min-height:20px}
.up{color:var(--up)!important}.down{color:var(--down)!important}
.pair{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:16px;margin-top:16px}
.chart{display:flex;flex-direction:column;gap:10px}
.chart figcaption p{color:var(--soft);font-size:13.5px;line-height:1.4;margin-top:2px}
.plot{position:relative;margin-top:auto;touch-action:pan-y}
.plot>svg{display:block;width:100%;height:auto;overflow:visible}
svg text{fill:var(--soft);font-size:12px;font-variant-numeric:tabular-nums}
svg .axis{font-size:12.5px}
.grid{stroke:var(--grid)}.zero{stroke:var(--soft);stroke-opacity:.55}
.line{fill:none;stroke:var(--c);stroke-width:2.1;stroke-linejoin:round;stroke-linecap:round}
.line.dashed{stroke-dasharray:2 5;stroke-width:1.9}
.line.faint{stroke-width:1.1;stroke-opacity:.28}
.drawing{display:block;width:100%;height:auto;margin-top:auto}
.whole{grid-column:1/-1}
.object{fill:none;stroke:#fff;stroke-width:1.4;stroke-dasharray:4 3}
.found{fill:none;stroke:var(--c);stroke-width:2}
rect.tag{fill:var(--c)}svg text.tag{fill:#fff;font-size:11px;font-weight:600}
.cloud{fill:none;stroke:var(--c);stroke-width:3;stroke-linecap:round;stroke-opacity:.45}
.dot{fill:var(--card);stroke:var(--c);stroke-width:2}
.cursor{stroke:var(--soft);stroke-opacity:.6;visibility:hidden}
.legend{display:flex;flex-wrap:wrap;gap:2px 16px;list-style:none;margin:8px 0 0;padding:0;font-size:13px;
color:var(--soft)}
.legend i{display:inline-block;width:18px;margin-right:6px;vertical-align:.28em;border-top:3px solid var(--c);
border-radius:2px}
.legend i.dashed{border-top-style:dotted}
.tip{position:absolute;top:6px;pointer-events:none;background:var(--card);border:1px solid var(--rule);
border-radius:8px;box-shadow:0 4px 16px rgb(0 0 0/.16);padding:7px 10px;font-size:12.5px;line-height:1.45;
white-space:nowrap;z-index:1}
.tip table{border-collapse:collapse}
.tip td{padding:0 0 0 10px;border:0;text-align:right;font-variant-numeric:tabular-nums}
.tip td:first-child{padding:0;text-align:left;color:var(--c)}
.scroll{overflow-x:auto;padding:6px 0}
.scroll table{border-collapse:collapse;width:100%;font-size:14.5px;font-variant-numeric:tabular-nums}
.scroll th,.scroll td{padding:8px 12px;text-align:right;white-space:nowrap;
border-bottom:1px solid var(--rule)}
.scroll tr:last-child td,.scroll tr:last-child th[scope=row]{border-bottom:0}
.scroll thead th{color:var(--soft);font-weight:500;font-size:13px}
.scroll th:first-child{text-align:left;position:sticky;left:0;background:var(--card);padding-left:20px;
font-weight:600}
.scroll thead th:first-child{font-weight:500}
.scroll td:last-child,.scroll th:last-child{padding-right:20px}
.scroll .group th{padding-top:18px;text-align:left;color:var(--soft);font-weight:500;font-size:13px}
.best{font-weight:700;color:var(--accent)}
.bar{min-width:120px;background:linear-gradient(90deg,var(--bar) calc(var(--v)*1%),transparent 0) no-repeat
12px 50%/calc(100% - 24px) 62%}
.foot{color:var(--soft);font-size:13.5px;margin-top:10px;max-width:90ch}
.gallery{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,330px),1fr));gap:16px}
.gallery figure{margin:0;padding:0;overflow:hidden;display:flex;flex-direction:column}
.gallery button{all:unset;display:block;cursor:zoom-in}
.gallery button:focus-visible{outline:3px solid var(--accent);outline-offset:-3px}
.gallery img{display:block;width:100%;aspect-ratio:4/3;object-fit:contain;background:#0b0d10}
.gallery figcaption{padding:10px 14px;font-size:13.5px;color:var(--soft);overflow-wrap:anywhere}
.wide{grid-template-columns:minmax(0,1fr)}
.wide img{aspect-ratio:auto;background:none}
.fold{margin-top:20px}
h3.fold{margin-bottom:10px}
.kinds thead th:last-child{text-align:left}
.scroll td.text{text-align:left;white-space:normal;color:var(--soft);min-width:220px}
.hit{--m:var(--s2)}.slip{--m:var(--s1)}
.matrix td{background:color-mix(in srgb,var(--m) calc(var(--v)*60%),transparent)}
.map{display:block;width:100%}
.map text{font-size:9px}
.map .ground{fill:var(--grid);fill-opacity:.5}
.map .hit,.map .slip{fill:var(--m);fill-opacity:var(--v)}
dialog{border:0;padding:0;background:none;max-width:96vw;max-height:96vh}
dialog::backdrop{background:rgb(0 0 0/.82)}
dialog img{display:block;max-width:96vw;max-height:96vh;min-width:min(60vw,900px);object-fit:contain;
cursor:zoom-out}
dl{display:grid;grid-template-columns:minmax(120px,max-content) 1fr;gap:6px 24px;margin:0;font-size:14.5px}
dt{color:var(--soft);overflow-wrap:anywhere}
dd{margin:0;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
code,.mono dt,.mono dd{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;
font-size:13px}
details summary{cursor:pointer;font-weight:600;font-size:15px}
details[open] summary{margin-bottom:14px}
footer{margin-top:48px;color:var(--soft);font-size:13.5px}
@media(max-width:760px){main{padding:26px 14px 48px}.pair{grid-template-columns:minmax(0,1fr)}
.card{padding:14px 14px}.scroll{padding:4px 0}.tiles{grid-template-columns:repeat(2,1fr);gap:10px}
.tile b{font-size:27px}.gallery figure{padding:0}svg text,svg .axis{font-size:14.5px}
dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:9px}
.scroll th:first-child{padding-left:14px}.scroll td:last-child,.scroll th:last-child{padding-right:14px}}
@media print{body{background:none}.card{break-inside:avoid}main{padding:0}}
"""

# Values beside the pointer, and pictures in full size. The page is complete without it.
SCRIPT = """
for(const plot of document.querySelectorAll('.plot')){
  const v=JSON.parse(plot.dataset.values),cursor=plot.querySelector('.cursor');let tip;
  const cell=(row,text)=>row.insertCell().textContent=text;
  plot.addEventListener('pointermove',event=>{
    const box=plot.getBoundingClientRect(),at=(event.clientX-box.left)/box.width*v.width;
    let n=0;v.x.forEach((x,i)=>{if(Math.abs(x-at)<Math.abs(v.x[n]-at))n=i});
    cursor.setAttribute('x1',v.x[n]);cursor.setAttribute('x2',v.x[n]);cursor.style.visibility='visible';
    tip??=plot.appendChild(Object.assign(document.createElement('div'),{className:'tip'}));
    tip.replaceChildren(v.label[n],document.createElement('table'));
    v.names.forEach((name,i)=>{if(v.y[i][n]==='')return;const row=tip.lastChild.insertRow();
      row.style.setProperty('--c',`var(--s${v.colors[i]})`);cell(row,name);cell(row,v.y[i][n])});
    const left=v.x[n]/v.width*box.width,right=left>box.width/2;
    tip.style.left=right?'auto':left+12+'px';tip.style.right=right?box.width-left+12+'px':'auto';
  });
  plot.addEventListener('pointerleave',()=>{tip?.remove();tip=undefined;cursor.style.visibility='hidden'});
}
const dialog=document.querySelector('dialog');
for(const button of document.querySelectorAll('.gallery button'))button.addEventListener('click',()=>{
  const image=button.firstElementChild.cloneNode();dialog.replaceChildren(image);dialog.showModal()});
dialog?.addEventListener('click',()=>dialog.close());
"""
